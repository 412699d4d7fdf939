import { chunks } from '../../shared/chunks.js';
import type { Logger } from '../../shared/logger.js';
import { deadWorkers } from '../../shared/registry/dead-workers.js';
import type { Store } from '../../shared/store.js';
import type { Isolation } from './isolate.js';

/** A job that is in none of the lists that were looked into; it may be in the wait list of its queue. */
export interface Suspect {
  readonly id: string;
  /** When it was enqueued, in ms. */
  readonly timestamp: number;
  readonly stopped: boolean;
  /** It has the time of its end, so it is not in the wait list. */
  readonly ended: boolean;
}

export interface LostJobCounts {
  /** Jobs that are back in their place. */
  restored: number;
  /** Stops of lost jobs that were settled. */
  settled: number;
}

/** Ids of the wait lists that one run reads. */
const MOST_READ = 100_000;
const READ_AT_ONCE = 5_000;
/** Jobs that one run searches for in a wait list that is too long to be read. */
const MOST_SEARCHED = 20;
/** Jobs of one script: it holds up Redis. */
const RESTORED_AT_ONCE = 500;

/**
 * Finds what has lost its place among the jobs that one run of the reconciler has met, and puts it back: a job that is in none
 * of the lists of its queue would stay as it is for ever.
 *
 * Most suspects wait. So the wait list is read once, from its head: what is added meanwhile is met twice, and nothing is
 * missed but what leaves the list. Those that are left are looked for once more by the script that puts them back.
 */
export class LostJobs {
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #isolation: (key: string) => Isolation;
  readonly #suspects = new Map<string, Map<string, Suspect>>();
  #left = MOST_READ;

  /** `isolation`: what keeps the work on one queue from failing that on others. */
  constructor(store: Store, logger: Logger, isolation: (key: string) => Isolation) {
    this.#store = store;
    this.#logger = logger;
    this.#isolation = isolation;
  }

  suspect(queue: string, suspect: Suspect): void {
    const others = this.#suspects.get(queue) ?? new Map<string, Suspect>();
    this.#suspects.set(queue, others.set(suspect.id, suspect));
  }

  /** Looks at one queue's suspects after the other. @throws the signal's reason */
  async restore(signal: AbortSignal | undefined): Promise<LostJobCounts> {
    const counts: LostJobCounts = { restored: 0, settled: 0 };
    for (const [queue, suspects] of this.#suspects) {
      signal?.throwIfAborted();
      await this.#isolation(this.#store.keys.jobs(queue)).step(async () => {
        const missing = await this.#notWaiting(queue, suspects);
        for (const some of chunks(missing, RESTORED_AT_ONCE)) await this.#restoreOn(queue, some, counts);
      });
    }
    return counts;
  }

  /** Ids in the order in which they are to be put back: the last one is the first to run. */
  async #notWaiting(queue: string, suspects: ReadonlyMap<string, Suspect>): Promise<string[]> {
    const { redis, keys, unreadable } = this.#store;
    const wait = `${keys.jobs(queue)}wait`;
    const all = [...suspects.values()].toSorted((a, b) => b.timestamp - a.timestamp);
    const waiting = new Set(all.flatMap(({ id, ended }) => (ended ? [] : [id])));
    const length = waiting.size === 0 ? 0 : await unreadable.read(wait, 'list', redis.llen(wait), 0);
    if (length > this.#left) {
      // Somebody waits for the end of what is stopped.
      const urgent = all
        .filter(({ ended }) => !ended)
        .toSorted((a, b) => Number(b.stopped) - Number(a.stopped))
        .slice(0, MOST_SEARCHED);
      const searched = new Set(urgent.map(({ id }) => id));
      return all.filter(({ id, ended }) => ended || searched.has(id)).map(({ id }) => id);
    }
    this.#left -= length;
    for (let from = 0; from < length && waiting.size > 0; from += READ_AT_ONCE) {
      for (const id of await unreadable.read(wait, 'list', redis.lrange(wait, from, from + READ_AT_ONCE - 1), [])) waiting.delete(id);
    }
    return all.filter(({ id, ended }) => ended || waiting.has(id)).map(({ id }) => id);
  }

  async #restoreOn(queue: string, ids: readonly string[], counts: LostJobCounts): Promise<void> {
    const { redis, queues, keys, stopper } = this.#store;
    // Nothing if a key of the queue has a wrong type: its walk has reported that.
    const found = await redis.restoreJobs(...queues.restoreKeys(queue), keys.jobs(queue), ...ids);
    const restored = found.filter((what) => what !== 'missing' && what !== 'unreadable' && what !== 'placed' && what !== 'stopped');
    counts.restored += restored.length;
    if (restored.length > 0) this.#logger.warn({ queue, jobs: restored.length }, 'Restored jobs that were in no list of their queue');
    const stopped = ids.filter((_, index) => found[index] === 'stopped');
    if (stopped.length === 0) return;
    const answers = await stopper.settleStopped(new Map([[queue, stopped]]), await deadWorkers(this.#store));
    counts.settled += [...answers.values()].filter(({ kind }) => kind === 'cancelled').length;
  }
}
