import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/log/logger.js';
import type { Store } from '../shared/store.js';
import { type DrainRecord, type WorkerDrain, formatDrain } from '../shared/workers/drains.js';

interface DrainOptions {
  readonly store: Store;
  readonly workerId: string;
  /** Called when the worker is drained, and when it is resumed. */
  readonly onChange: (drained: boolean) => void;
  readonly logger: Logger;
}

/**
 * Whether people took this worker out: a drained worker ends its running tasks and fetches no others until it is resumed. The record in
 * Redis decides. It is read with each heartbeat and after each message about it.
 */
export class Drain {
  #drained: WorkerDrain | null = null;

  constructor(private readonly options: DrainOptions) {}

  get active(): boolean {
    return this.#drained !== null;
  }

  /** Applies what Redis says. A failover may have lost the record of a drain, which is then written again. */
  apply(record: DrainRecord): void {
    const { onChange, logger } = this.options;
    if (record === null) return void this.#assert();
    if (record === 'resumed') {
      if (!this.active) return;
      this.#drained = null;
      logger.info('Worker resumed; fetching tasks again');
      return onChange(false);
    }
    const wasActive = this.active;
    this.#drained = record;
    if (wasActive) return;
    logger.info({ by: record.by, reason: record.reason }, 'Worker drained; it ends its running tasks and fetches no others until resumed');
    onChange(true);
  }

  async #assert(): Promise<void> {
    const { store, workerId, logger } = this.options;
    if (this.#drained === null) return;
    try {
      if ((await store.redis.hsetnx(store.keys.workerDrains, workerId, formatDrain(this.#drained))) === 1)
        logger.warn('Redis had lost the record that this worker is drained; wrote it again');
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'Could not write the record of the drain; trying again with the next heartbeat');
    }
  }
}
