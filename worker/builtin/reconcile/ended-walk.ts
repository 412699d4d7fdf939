import { chunks } from '../../../shared/limits.js';
import { type EndedTask, REMOVED_AT_ONCE } from '../../../shared/retention/ended-tasks.js';
import { TEXTS_COMPLETE, type EndedIndex, readIndexes } from '../../../shared/retention/indexes.js';
import { keepsNone, retentionOf } from '../../../shared/retention/limits.js';
import type { Store } from '../../../shared/store.js';
import { readOptions } from '../../../shared/task/job-options.js';
import { type EndedPosition, firstOf, nextList } from './ended-position.js';
import type { Isolation } from './run-record.js';

interface EndedCounts {
  /** Ended tasks that were missing in the index of their retention. */
  indexed: number;
  /** Entries removed from the indexes, most of them with their task. */
  expired: number;
  /** Entries removed from the indexes of texts, whose task is no longer kept. */
  stale: number;
}

/** A page of a list. */
interface EndedPage {
  readonly examined: number;
  /** How many of its entries have left the list. */
  readonly left: number;
}

const PAGE = 500;
const NO_PAGE: EndedPage = { examined: 0, left: 0 };
/** The index of texts; no kind of an index begins like this. */
const TEXTS = 'texts';
const SETS = ['completed', 'failed'] as const;
type SetName = (typeof SETS)[number];

/**
 * Keeps the indexes of ended tasks in step with BullMQ's sets, and applies the retention to definitions whose tasks no longer end. A task is
 * missing in its index if a worker died just after settling it, or was of an older version; an entry is stale if another program has
 * removed or retried its job.
 */
export class EndedWalk {
  readonly #isolation: (key: string) => Isolation;

  /** @param isolation keeps errors of one key from affecting others */
  constructor(
    private readonly store: Store,
    isolation: (key: string) => Isolation,
  ) {
    this.#isolation = isolation;
  }

  /**
   * Removes expired tasks, then examines up to about `limit` ended ones from the position on. Returns where the next run continues; null
   * after the last task.
   * @throws the signal's reason
   */
  async run(
    queues: readonly string[],
    from: EndedPosition | null,
    limit: number,
    { counts, signal }: { readonly counts: EndedCounts; readonly signal: AbortSignal | undefined },
  ): Promise<EndedPosition | null> {
    const indexes = new Map<string, readonly EndedIndex[]>();
    for (const queue of queues) {
      signal?.throwIfAborted();
      const found = await readIndexes(this.store, queue);
      indexes.set(queue, found);
      for (const index of found) await this.#expire(queue, index, limit, counts);
    }
    let position = from ?? firstOf(queues);
    for (let examined = 0; position !== null && examined < limit;) {
      signal?.throwIfAborted();
      // A queue or an index that is gone is skipped: the walk continues with the next one.
      const found = indexes.get(position.queue) ?? [];
      const page = await this.#examine(position, found, counts);
      examined += page.examined;
      if (page.examined === PAGE) position = { ...position, offset: position.offset + PAGE - page.left };
      else position = nextList(position, [...SETS, TEXTS, ...found.map(({ field }) => field)].toSorted(), queues);
    }
    return position;
  }

  /** Marks the indexes of texts as complete, after a whole walk that added every task that was missing there. */
  async markComplete(queues: readonly string[]): Promise<void> {
    const { redis, keys } = this.store;
    for (const queue of queues) {
      const [texts, jobs] = [keys.keptTexts(queue), keys.jobs(queue)];
      await this.#isolation(texts).step(async () => {
        if ((await redis.zscore(texts, TEXTS_COMPLETE)) !== null) return;
        if ((await redis.exists(`${jobs}completed`, `${jobs}failed`)) > 0) await redis.zadd(texts, 0, TEXTS_COMPLETE);
      });
    }
  }

  async #expire(queue: string, index: EndedIndex, limit: number, counts: EndedCounts): Promise<void> {
    await this.#isolation(index.key).step(async () => {
      for (let removed = 0, last = REMOVED_AT_ONCE; last === REMOVED_AT_ONCE && removed < limit; removed += last) {
        last = await this.store.endedTasks.expire(queue, index);
        counts.expired += last;
      }
    });
  }

  /** Examines a page; empty if its list is gone or cannot be read. */
  async #examine({ queue, list, offset }: EndedPosition, indexes: readonly EndedIndex[], counts: EndedCounts): Promise<EndedPage> {
    const { redis, keys } = this.store;
    const jobs = keys.jobs(queue);
    const last = offset + PAGE - 1;
    const index = indexes.find(({ field }) => field === list);
    let page = NO_PAGE;
    if (isSet(list)) {
      await this.#isolation(jobs + list).step(async () => {
        const [examined, ...found] = await redis.findUnkept(
          jobs + list,
          keys.keptLimits(queue),
          keys.keptTexts(queue),
          jobs,
          list,
          offset,
          last,
        );
        counts.indexed += await this.#index(queue, list, found);
        page = { examined, left: 0 };
      });
    } else if (list === TEXTS) {
      await this.#isolation(keys.keptTexts(queue)).step(async () => {
        const [examined, left] = await redis.dropStaleTexts(keys.keptTexts(queue), `${jobs}completed`, `${jobs}failed`, offset, last);
        page = { examined, left };
        counts.stale += left;
      });
    } else if (index) {
      await this.#isolation(index.key).step(async () => {
        const [examined, left] = await redis.dropStale(
          index.key,
          jobs + (index.kind === 'completed' ? index.kind : 'failed'),
          offset,
          last,
        );
        page = { examined, left };
      });
    }
    return page;
  }

  /** Indexes those of the found jobs that are ours: id, name and options of each. Returns their number. */
  async #index(queue: string, place: SetName, found: readonly string[]): Promise<number> {
    const tasks = chunks(found, 3).flatMap(([id = '', name = '', options]): EndedTask[] => {
      const read = readOptions(options);
      const retention = retentionOf(read);
      if (retention === null || keepsNone(retention[place])) return [];
      return [{ id, queue, name, item: read.item ?? '', tags: read.tags, place, retention }];
    });
    await this.store.endedTasks.index(tasks);
    return tasks.length;
  }
}

function isSet(list: string): list is SetName {
  return SETS.some((set) => set === list);
}
