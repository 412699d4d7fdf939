import { messageOf } from '../shared/errors.js';
import type { limitsIn } from '../shared/limiter/marks.js';
import { type Logger, RepeatedLines } from '../shared/log/logger.js';
import { Service } from '../shared/process/service.js';
import type { Store } from '../shared/store.js';

interface LineKeeperOptions {
  readonly store: Pick<Store, 'limiter' | 'redis'>;
  /** The limits of this worker's definitions; empty for none: then nothing is tended. */
  readonly limits: ReturnType<typeof limitsIn>;
  /** How long a task may be unregistered before its record is dropped, in ms. */
  readonly graceMs: number;
  readonly logger: Logger;
}

const INTERVAL_MS = 500;

/**
 * Publishes the limits of this worker's definitions, and tends the lines: lets on the tasks whose time has come, and repairs what a crash
 * left. Every worker with limits does so; Redis lets one of them work at a time.
 */
export class LineKeeper extends Service {
  readonly #lines: RepeatedLines;
  #timer: NodeJS.Timeout | null = null;
  #tending: Promise<void> | null = null;
  #published = false;

  constructor(private readonly options: LineKeeperOptions) {
    super();
    this.#lines = new RepeatedLines(options.logger);
  }

  protected override onStart(): Promise<void> {
    if (this.options.limits.length === 0) return Promise.resolve();
    this.#timer = setInterval(() => void this.#tick(), INTERVAL_MS);
    void this.#tick();
    return Promise.resolve();
  }

  protected override async onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.#tending;
  }

  /** Does nothing while the last turn is in progress, or Redis is away: turns would queue up in the client. */
  #tick(): Promise<void> {
    const { store } = this.options;
    if (this.stopping || store.redis.status !== 'ready') return Promise.resolve();
    this.#tending ??= this.#tend().finally(() => (this.#tending = null));
    return this.#tending;
  }

  async #tend(): Promise<void> {
    const { store, limits, graceMs } = this.options;
    try {
      if (!this.#published) await store.limiter.publish(limits);
      this.#published = true;
      await store.limiter.tend({ graceMs });
    } catch (error) {
      this.#lines.warn(messageOf(error), { error: messageOf(error) }, 'Could not tend the lines of limits; trying again');
    }
  }
}
