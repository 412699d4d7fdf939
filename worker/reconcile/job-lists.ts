import { chunks } from '../../shared/chunks.js';
import { isName, quote } from '../../shared/keys.js';
import type { Store } from '../../shared/store.js';

/** Where live jobs wait. */
const LISTS = ['wait', 'prioritized', 'delayed', 'waiting-children'] as const;
type ListName = (typeof LISTS)[number];

/** A place in the walk over the waiting jobs of all queues. */
export interface JobPosition {
  readonly queue: string;
  readonly list: ListName;
  readonly offset: number;
}

export interface JobPage {
  readonly queue: string;
  readonly list: ListName;
  readonly ids: readonly string[];
  /** Those of them that have a stop. */
  readonly stopped: readonly string[];
  /** Null after the last page. */
  readonly next: JobPosition | null;
}

/** Queues that are asked for at once whether they have any jobs. */
const ASKED_AT_ONCE = 500;

/**
 * Walks over the waiting jobs of all queues that have any. The lists change meanwhile: a job that slips from one page to
 * another is met in the next walk.
 */
export class JobLists {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The queues with jobs, in order. Any number of names costs little: a queue without jobs is asked for once. */
  async queues(): Promise<string[]> {
    const { redis, keys, registry, unreadable } = this.#store;
    const all = await unreadable.read(keys.queues, 'set', registry.queueNames(), []);
    const names: string[] = [];
    const others: string[] = [];
    for (const name of all) (isName(name) ? names : others).push(name);
    if (others[0] !== undefined)
      unreadable.report({
        key: keys.queues,
        problem: `${others.length} of its members are no names of queues, such as ${quote(others[0])}`,
      });
    const used: string[] = [];
    for (const some of chunks(names, ASKED_AT_ONCE)) {
      const lists = await Promise.all(
        some.map((queue) => redis.exists(...[...LISTS, 'active', 'completed', 'failed'].map((list) => keys.jobs(queue) + list))),
      );
      used.push(...some.filter((_, index) => lists[index] !== 0));
    }
    return used.sort();
  }

  /** The page at a position, null for the first. */
  async page(queues: readonly string[], position: JobPosition | null, size: number): Promise<JobPage> {
    // A queue whose name is gone meanwhile: on with the one that comes after it.
    const queue = position === null ? queues[0] : queues.find((name) => name >= position.queue);
    if (queue === undefined) return { queue: '', list: LISTS[0], ids: [], stopped: [], next: null };
    const at = position?.queue === queue ? position : { queue, list: LISTS[0], offset: 0 };
    const [ids, stopped] = await this.#read(queue, at.list, at.offset, size);
    return { queue, list: at.list, ids, stopped, next: ids.length === size ? { ...at, offset: at.offset + size } : nextList(at, queues) };
  }

  /** What runs on a queue, all of it: it is no more than the slots of the fleet. */
  async active(queue: string): Promise<{ readonly ids: readonly string[]; readonly stopped: readonly string[] }> {
    const [ids, stopped] = await this.#read(queue, 'active', 0, Infinity);
    return { ids, stopped };
  }

  async #read(queue: string, list: ListName | 'active', offset: number, size: number): Promise<[ids: string[], stopped: string[]]> {
    const { redis, keys, unreadable: reporter } = this.#store;
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

/** A position as text, `''` for none. */
export function formatPosition(position: JobPosition | null): string {
  return position ? JSON.stringify([position.queue, position.list, position.offset]) : '';
}

/** Null for what is no position. */
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
