import { isName, quote } from '../../../shared/keys.js';
import { chunks } from '../../../shared/limits.js';
import type { Store } from '../../../shared/store.js';

/** The lists of waiting jobs. */
const LISTS = ['wait', 'prioritized', 'delayed', 'waiting-children'] as const;
type ListName = (typeof LISTS)[number];

/** A position in the walk over the waiting jobs of all queues. */
export interface JobPosition {
  readonly queue: string;
  readonly list: ListName;
  readonly offset: number;
}

interface JobPage {
  readonly queue: string;
  readonly list: ListName;
  readonly ids: readonly string[];
  /** The stopped jobs among them. */
  readonly stopped: readonly string[];
  /** Null after the last page. */
  readonly next: JobPosition | null;
}

/** Queues checked for jobs at once. */
const CHECKED_AT_ONCE = 500;

/** Walks over the waiting jobs of all queues. The lists change meanwhile: a job that slips between pages is found in the next walk. */
export class JobLists {
  constructor(private readonly store: Store) {}

  /** Returns the queues with jobs, in order. Names without jobs cost one EXISTS each. */
  async queues(): Promise<string[]> {
    const { redis, keys, registry, unreadable } = this.store;
    const all = await unreadable.read(keys.queues, 'set', registry.queueNames(), []);
    const names: string[] = [];
    const others: string[] = [];
    for (const name of all) (isName(name) ? names : others).push(name);
    if (others[0] !== undefined)
      unreadable.report({
        key: keys.queues,
        problem: `${others.length} of its members are not queue names, such as ${quote(others[0])}`,
      });
    const used: string[] = [];
    for (const some of chunks(names, CHECKED_AT_ONCE)) {
      const lists = await Promise.all(
        some.map((queue) =>
          redis.exists(keys.keptLimits(queue), ...[...LISTS, 'active', 'completed', 'failed'].map((list) => keys.jobs(queue) + list)),
        ),
      );
      used.push(...some.filter((_, index) => lists[index] !== 0));
    }
    return used.sort();
  }

  /** Returns the page at a position; null is the first. */
  async page(queues: readonly string[], position: JobPosition | null, size: number): Promise<JobPage> {
    // If the queue is gone, continue with the next one.
    const queue = position === null ? queues[0] : queues.find((name) => name >= position.queue);
    if (queue === undefined) return { queue: '', list: LISTS[0], ids: [], stopped: [], next: null };
    const at = position?.queue === queue ? position : { queue, list: LISTS[0], offset: 0 };
    const [ids, stopped] = await this.#read(queue, at.list, at.offset, size);
    return { queue, list: at.list, ids, stopped, next: ids.length === size ? { ...at, offset: at.offset + size } : nextList(at, queues) };
  }

  /** Returns all active jobs of a queue: no more than the slots of the fleet. */
  async active(queue: string): Promise<{ readonly ids: readonly string[]; readonly stopped: readonly string[] }> {
    const [ids, stopped] = await this.#read(queue, 'active', 0, Infinity);
    return { ids, stopped };
  }

  async #read(queue: string, list: ListName | 'active', offset: number, size: number): Promise<[ids: string[], stopped: string[]]> {
    const { redis, keys, unreadable: reporter } = this.store;
    const jobs = keys.jobs(queue);
    const [ids, stopped, unreadable, type] = await redis.readPage(jobs + list, jobs, offset, size === Infinity ? -1 : offset + size - 1);
    if (type !== undefined)
      reporter.report({
        key: jobs + list,
        problem: `expected a ${list === 'wait' || list === 'active' ? 'list' : 'sorted set'}, found a ${type}`,
      });
    for (let index = 0; index < unreadable.length; index += 2)
      reporter.report({ key: jobs + (unreadable[index] as string), problem: unreadable[index + 1] as string });
    return [ids, stopped];
  }
}

/** Serializes a position; `''` for none. */
export function formatPosition(position: JobPosition | null): string {
  return position ? JSON.stringify([position.queue, position.list, position.offset]) : '';
}

/** Parses a position; null if invalid. */
export function parsePosition(text: string | null): JobPosition | null {
  try {
    const [queue, list, offset] = JSON.parse(text ?? '') as [unknown, unknown, unknown];
    const known = LISTS.find((name) => name === list);
    const isOffset = Number.isSafeInteger(offset) && (offset as number) >= 0;
    return typeof queue === 'string' && known && isOffset ? { queue, list: known, offset: offset as number } : null;
  } catch {
    return null;
  }
}

function nextList({ queue, list }: JobPosition, queues: readonly string[]): JobPosition | null {
  const nextName = LISTS[LISTS.indexOf(list) + 1];
  if (nextName) return { queue, list: nextName, offset: 0 };
  const nextQueue = queues.find((name) => name > queue);
  return nextQueue === undefined ? null : { queue: nextQueue, list: LISTS[0], offset: 0 };
}
