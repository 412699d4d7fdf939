import { readIndexes } from '../../shared/retention/indexes.js';
import type { Store } from '../../shared/store.js';

const PAGE = 500;

/** The failed tasks of a queue. BullMQ's set `failed` has the cancelled ones too. */
export class Failures {
  constructor(
    private readonly store: Pick<Store, 'redis' | 'keys' | 'unreadable'>,
    private readonly queue: string,
  ) {}

  /** Returns ids by their rank, newest first. */
  async page(first: number, last: number): Promise<string[]> {
    const { redis, keys } = this.store;
    const jobs = keys.jobs(this.queue);
    const ids: string[] = [];
    for (let rank = 0; ids.length <= last; rank += PAGE) {
      const [some, stopped] = await redis.readPage(`${jobs}failed`, jobs, -rank - PAGE, -rank - 1);
      const cancelled = new Set(stopped);
      ids.push(...some.filter((id) => !cancelled.has(id)).toReversed());
      if (some.length < PAGE) break;
    }
    return ids.slice(first, last + 1);
  }

  /** Counts the cancelled tasks, by the indexes of their retention. */
  async countCancelled(): Promise<number> {
    const { redis, unreadable } = this.store;
    const indexes = (await readIndexes(this.store, this.queue)).filter(({ kind }) => kind === 'cancelled');
    const sizes = await Promise.all(indexes.map(({ key }) => unreadable.read(key, 'sorted set', redis.zcard(key), 0)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}
