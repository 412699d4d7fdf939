import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Memberships, MergedWrites, Registration } from '../shared/registry/merged-writes.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import type { Store } from '../shared/store.js';
import { writeState } from '../shared/task/event-stream.js';
import type { TaskState } from '../shared/task/state.js';

/** Least time between two writes. A busy worker's ends gather meanwhile; the first one after a pause goes out at once. */
const INTERVAL_MS = 10;

/** A worker's writes to the registry, gathered so that the ends of many tasks cost a few commands. */
export class RegistryWriter {
  readonly #store: Store;
  readonly #lines: RepeatedLines;
  readonly #writes: MergedWrites;
  #states: [id: string, state: TaskState][] = [];
  #scheduled = false;
  #sentAt = -Infinity;
  #sending: Promise<unknown> = Promise.resolve();

  constructor(store: Store, logger: Logger) {
    this.#store = store;
    this.#lines = new RepeatedLines(logger);
    this.#writes = store.registry.writes();
  }

  /** For a task that a plain BullMQ queue added. */
  add(registration: Registration): void {
    this.#writes.add(registration);
    this.#schedule();
  }

  /** For a task that is over, certainly. `atOnce` for one whose end somebody waits for: it takes along what has gathered. */
  remove(id: string, memberships: Memberships, { atOnce = false } = {}): void {
    this.#writes.remove(id, memberships);
    if (atOnce) setImmediate(this.#send);
    else this.#schedule();
  }

  /** Adds a change of state to the task's events. */
  state(id: string, state: TaskState): void {
    this.#states.push([id, state]);
    this.#schedule();
  }

  /**
   * Adds to the task's events that an attempt failed, now: the next one may begin in this very tick. It may yet come after the
   * first words of an attempt that another worker has, and whoever reads it knows by the number.
   */
  retrying(id: string, attempt: number): void {
    const { redis, keys } = this.#store;
    this.#track(writeState(redis, keys.events(id), 'retrying', attempt));
  }

  /** Resolves when everything so far is written. */
  async flush(): Promise<void> {
    this.#send();
    await this.#sending;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (performance.now() - this.#sentAt >= INTERVAL_MS) setImmediate(this.#send);
    else setTimeout(this.#send, INTERVAL_MS);
  }

  readonly #send = (): void => {
    this.#scheduled = false;
    this.#sentAt = performance.now();
    const { redis, keys } = this.#store;
    const sent = this.#writes.flushInto(redis);
    for (const [id, state] of this.#states) sent.push(...writeState(redis, keys.events(id), state));
    this.#states = [];
    if (sent.length > 0) this.#track(sent);
  };

  /** One connection sends all, in order: what was sent last is answered last. */
  #track(sent: readonly unknown[]): void {
    this.#sending = Promise.all(sent).catch((error: unknown) => this.#warn(error));
  }

  #warn(error: unknown): void {
    this.#lines.warn(messageOf(error), { error }, 'Registry not updated; the reconciler removes the entries of ended tasks');
  }
}
