import { type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { isParked } from '../../../shared/limiter/parked-jobs.js';
import type { Store } from '../../../shared/store.js';
import type { TestFleet } from '../../support/fleet/test-fleet.js';
import { QUEUE } from './needs.js';

/** A limiter and a queue, shared by consecutive runs while each leaves them clean. */
export class LimiterArena {
  readonly store: Store;
  /** The limits set at run time. */
  readonly set = new Map<string, number>();
  readonly #worker: Worker;

  private constructor(
    readonly redis: Redis,
    prefix: string,
    fleet: TestFleet,
  ) {
    this.store = fleet.store({ keyPrefix: prefix });
    this.#worker = new Worker(QUEUE, null, {
      connection: this.store.redis,
      prefix: this.store.keys.bull(QUEUE),
      autorun: false,
      lockDuration: 600_000,
      maxStalledCount: 1_000_000,
      stalledInterval: 500,
    });
    this.#worker.on('error', () => undefined);
  }

  static open(fleet: TestFleet): LimiterArena {
    return new LimiterArena(fleet.client, fleet.newPrefix(), fleet);
  }

  /** The start of the limiter's keys. */
  get start(): string {
    return this.store.keys.limiter('');
  }

  async fetch(token: string): Promise<Job | null> {
    return (await this.#worker.getNextJob(token, { block: false })) ?? null;
  }

  /** Returns the ids of the parked jobs. */
  async parked(): Promise<string[]> {
    const delayed = await this.redis.zrange(`${this.store.keys.jobs(QUEUE)}delayed`, '0', '-1', 'WITHSCORES');
    return delayed.filter((_, index) => index % 2 === 0 && isParked(Number(delayed[index + 1]) / 4_096));
  }

  /** Returns a job of a dead worker to the queue. */
  async expireLock(id: string): Promise<void> {
    const jobs = this.store.keys.jobs(QUEUE);
    await this.redis.del(`${jobs}${id}:lock`);
    // BullMQ takes a job as stalled at the second check.
    for (let look = 0; look < 2; look += 1) {
      await this.redis.del(`${jobs}stalled-check`);
      await this.#worker.getBackend().moveStalledJobsToWait();
    }
  }

  async close(): Promise<void> {
    await this.#worker.close();
  }
}
