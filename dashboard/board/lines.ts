import { PARKED_SCORE } from '../../shared/limiter/parked-jobs.js';
import type { Store } from '../../shared/store.js';

/** The delayed jobs of a queue, apart from those that wait in line for a limit: BullMQ's set `delayed` has both. */
export class QueueLines {
  readonly #key: string;

  constructor(
    private readonly store: Pick<Store, 'redis' | 'keys' | 'unreadable'>,
    queue: string,
  ) {
    this.#key = `${store.keys.jobs(queue)}delayed`;
  }

  /** Counts the jobs in line. */
  count(): Promise<number> {
    return this.store.unreadable.read(this.#key, 'sorted set', this.store.redis.zcount(this.#key, PARKED_SCORE, '+inf'), 0);
  }

  /** Returns ids of jobs in line by their rank. */
  inLine(first: number, last: number): Promise<string[]> {
    return this.#read(String(PARKED_SCORE), '+inf', first, last);
  }

  /** Returns ids of other delayed jobs by their rank, the next one first. */
  delayed(first: number, last: number): Promise<string[]> {
    return this.#read('-inf', `(${PARKED_SCORE}`, first, last);
  }

  async #read(from: string, to: string, first: number, last: number): Promise<string[]> {
    if (last < first) return [];
    const reading = this.store.redis.zrange(this.#key, from, to, 'BYSCORE', 'LIMIT', first, last - first + 1);
    return this.store.unreadable.read(this.#key, 'sorted set', reading, []);
  }
}
