import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import { RepeatedLines } from '../repeated-lines.js';
import type { Store } from '../store.js';
import type { StopCommand } from './command.js';

export interface OutsideStopsOptions {
  readonly store: Store;
  readonly logger: Logger;
  readonly relists: (id: string) => boolean;
}

/**
 * When to check that stopped tasks are still listed, in ms after their stop was recorded: open-webui deletes a task's entries right after
 * its command.
 */
const LOOKS_AFTER_MS = [0, 100, 1_000];

/** Records stops that open-webui or a user requested by a command alone. */
export class OutsideStops {
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #relists: (id: string) => boolean;
  readonly #lines: RepeatedLines;
  readonly #closing = new AbortController();

  constructor({ store, logger, relists }: OutsideStopsOptions) {
    this.#store = store;
    this.#logger = logger;
    this.#relists = relists;
    this.#lines = new RepeatedLines(logger);
  }

  /** Records the stops. Every receiver of the command does, and the first record stays. */
  record(command: StopCommand): void {
    this.#record(command).catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#logger.error({ error }, 'Could not record a stop command');
    });
  }

  /** Ends all relisting. */
  close(): void {
    this.#closing.abort();
  }

  async #record({ ids, reason, by }: StopCommand): Promise<void> {
    const { stopper, facts } = this.#store;
    const answers = await stopper.request(ids, { reason, by, fromCommand: true });
    // open-webui deletes its own tasks right after their command, so beside it an unknown id is normal.
    const level = facts.removed ? 'debug' : 'warn';
    for (const [id, { kind }] of answers)
      if (kind === 'not_found') this.#lines.write(level, id, { id }, 'Ignored a stop command for a task that does not exist');
    const ending = [...answers].flatMap(([id, { kind }]) => (kind === 'recorded' && this.#relists(id) ? [id] : []));
    if (ending.length > 0) void this.#keepListed(ending);
  }

  /** Keeps ending tasks listed. Never rejects: the reconciler relists any that are missed here. */
  async #keepListed(ids: readonly string[]): Promise<void> {
    const { reader, registry } = this.#store;
    let [open, passed] = [ids, 0];
    try {
      for (const afterMs of LOOKS_AFTER_MS) {
        await sleep(afterMs - passed, undefined, { ref: false, signal: this.#closing.signal });
        passed = afterMs;
        open = await registry.relist(await reader.itemsOf(open));
        if (open.length === 0) return;
      }
    } catch (error) {
      if (!this.#closing.signal.aborted)
        this.#logger.debug({ error: messageOf(error) }, 'Could not relist a stopped task; the reconciler will');
    }
  }
}
