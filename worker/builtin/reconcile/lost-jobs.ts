import { chunks } from '../../../shared/limits.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { Store } from '../../../shared/store.js';
import { deadWorkers } from '../../../shared/workers/heartbeats.js';
import type { Isolation } from './run-record.js';

/** A job found in none of the lists examined; it may be in the wait list of its queue. */
interface Suspect {
  readonly id: string;
  /** When the job was enqueued, in ms. */
  readonly timestamp: number;
  readonly stopped: boolean;
  /** Whether the job has finished, so that it is not in the wait list. */
  readonly ended: boolean;
}

interface LostJobCounts {
  /** Jobs restored to their lists. */
  restored: number;
  /** Settled stops of lost jobs. */
  settled: number;
}

/** Most ids read from wait lists in one run. */
const MAX_READ = 100_000;
const READ_AT_ONCE = 5_000;
/** Most jobs searched for in a wait list that is too long to read. */
const MAX_SEARCHED = 20;
/** Jobs restored by one script, which blocks Redis meanwhile. */
const RESTORED_AT_ONCE = 500;

/**
 * Restores jobs that a run of the reconciler found in none of the lists of their queue; otherwise they would stay lost forever.
 *
 * Most suspects are waiting. So the wait list is read once, from its head: concurrent additions only make ids appear twice, and only jobs
 * leaving the list are missed. The script that restores the remaining suspects checks once more.
 */
export class LostJobs {
  readonly #isolation: (key: string) => Isolation;
  readonly #suspects = new Map<string, Map<string, Suspect>>();
  #unread = MAX_READ;

  /** @param isolation keeps errors of one queue from affecting others */
  constructor(
    private readonly store: Store,
    private readonly logger: Logger,
    isolation: (key: string) => Isolation,
  ) {
    this.#isolation = isolation;
  }

  suspect(queue: string, suspect: Suspect): void {
    const others = this.#suspects.get(queue) ?? new Map<string, Suspect>();
    this.#suspects.set(queue, others.set(suspect.id, suspect));
  }

  /**
   * Restores the lost jobs, queue by queue.
   * @throws the signal's reason
   */
  async restore(signal: AbortSignal | undefined): Promise<LostJobCounts> {
    const counts: LostJobCounts = { restored: 0, settled: 0 };
    for (const [queue, suspects] of this.#suspects) {
      signal?.throwIfAborted();
      await this.#isolation(this.store.keys.jobs(queue)).step(async () => {
        const missing = await this.#notWaiting(queue, suspects);
        for (const some of chunks(missing, RESTORED_AT_ONCE)) await this.#restoreOn(queue, some, counts);
      });
    }
    return counts;
  }

  /** Returns the suspects that are not waiting, in the order of restoring: the last one runs first. */
  async #notWaiting(queue: string, suspects: ReadonlyMap<string, Suspect>): Promise<string[]> {
    const { redis, keys, unreadable } = this.store;
    const wait = `${keys.jobs(queue)}wait`;
    const all = [...suspects.values()].toSorted((a, b) => b.timestamp - a.timestamp);
    const waiting = new Set(all.flatMap(({ id, ended }) => (ended ? [] : [id])));
    const length = waiting.size === 0 ? 0 : await unreadable.read(wait, 'list', redis.llen(wait), 0);
    if (length > this.#unread) {
      // Stopped jobs first: someone waits for their end.
      const urgent = all
        .filter(({ ended }) => !ended)
        .toSorted((a, b) => Number(b.stopped) - Number(a.stopped))
        .slice(0, MAX_SEARCHED);
      const searched = new Set(urgent.map(({ id }) => id));
      return all.filter(({ id, ended }) => ended || searched.has(id)).map(({ id }) => id);
    }
    this.#unread -= length;
    for (let from = 0; from < length && waiting.size > 0; from += READ_AT_ONCE) {
      for (const id of await unreadable.read(wait, 'list', redis.lrange(wait, from, from + READ_AT_ONCE - 1), [])) waiting.delete(id);
    }
    return all.filter(({ id, ended }) => ended || waiting.has(id)).map(({ id }) => id);
  }

  async #restoreOn(queue: string, ids: readonly string[], counts: LostJobCounts): Promise<void> {
    const { redis, queues, keys, stopper } = this.store;
    // Restores nothing if a key of the queue has a wrong type, which the walk has already reported.
    const found = await redis.restoreJobs(...queues.restoreKeys(queue), keys.jobs(queue), ...ids);
    const restored = found.filter((what) => what !== 'missing' && what !== 'unreadable' && what !== 'placed' && what !== 'stopped');
    counts.restored += restored.length;
    if (restored.length > 0) this.logger.warn({ queue, jobs: restored.length }, 'Restored jobs that were in no list of their queue');
    const stopped = ids.filter((_, index) => found[index] === 'stopped');
    if (stopped.length === 0) return;
    const answers = await stopper.settleStopped(new Map([[queue, stopped]]), await deadWorkers(this.store));
    counts.settled += [...answers.values()].filter(({ kind }) => kind === 'cancelled').length;
  }
}
