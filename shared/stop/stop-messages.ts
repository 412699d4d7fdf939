import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetClock } from '../clock/fleet-clock.js';
import { messageOf } from '../errors.js';
import type { Logger } from '../log/logger.js';
import type { Asker, CommandPublisher } from './commands.js';
import type { StopAnswer } from './receipt.js';
import type { FoundTask } from './recorder.js';

interface StopMessagesOptions {
  readonly publisher: CommandPublisher;
  /** Settles stops whose task was requeued, or whose owner has died. */
  readonly recheck: (ids: readonly string[]) => Promise<ReadonlyMap<string, StopAnswer>>;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
}

/** Delay before a recheck of tasks whose stop command had no receiver. */
const RECHECK_MS = 250;

/** Sends the commands of recorded stops whose workers were not told by the script that recorded them. */
export class StopMessages {
  constructor(private readonly options: StopMessagesOptions) {}

  /** Publishes these stops on the common channel. Call it once they are recorded: a receiver of the message finds the record. */
  async send(found: readonly FoundTask[], stop: Asker & { readonly at: number }): Promise<void> {
    const untold = found.filter((task) => !wasTold(task));
    if (untold.length === 0) return;
    const ids = untold.map(({ id }) => id);
    if ((await this.options.publisher.recorded(ids, stop, stop.at)) !== 0) return;
    const running = untold.flatMap(({ id, recorded: [what] }) => (what === 'active' ? [id] : []));
    if (running.length > 0) void this.#recheckLater(running);
  }

  /** Rechecks tasks whose stop had no receiver: no worker is subscribed, or none is alive. Does not keep the process alive. */
  async #recheckLater(ids: readonly string[]): Promise<void> {
    const { publisher, recheck, clock, logger } = this.options;
    try {
      await sleep(RECHECK_MS, undefined, { ref: false });
      const open = [...(await recheck(ids))].filter(([, { kind }]) => kind === 'recorded').map(([id]) => id);
      if (open.length > 0) await publisher.recorded(open, { reason: null, by: null }, clock.now());
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'Could not recheck a stop that no worker received');
    }
  }
}

function wasTold({ recorded: [what, , , , told] }: FoundTask): boolean {
  return what === 'active' && told === '1';
}
