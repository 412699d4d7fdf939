import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { PUBLISH_EVERY_MS, publishProduced } from '../../shared/workers/published-definitions.js';

/** Most names of tasks remembered; more come from a program that makes them up. */
const MAX_NAMES = 1_000;

/** Publishes the definitions that a producer enqueues with, each at most every quarter of an hour, so that others can tell what differs. */
export class DefinitionPublisher {
  /** When to publish again, by name and performance.now. */
  readonly #due = new Map<string, number>();

  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
  ) {}

  /** Notes an enqueue. Publishing is not waited for, and never fails. */
  note(definition: AnyDefinition): void {
    const { name } = definition;
    const now = performance.now();
    const due = this.#due.get(name);
    if (due === undefined ? this.#due.size >= MAX_NAMES : now < due) return;
    this.#due.set(name, now + PUBLISH_EVERY_MS);
    void this.#publish(definition);
  }

  async #publish(definition: AnyDefinition): Promise<void> {
    try {
      await publishProduced(this.store, definition);
    } catch (error) {
      this.#due.delete(definition.name);
      this.logger.debug({ error: messageOf(error) }, 'Could not publish a definition; trying again with its next task');
    }
  }
}
