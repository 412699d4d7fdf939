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
  readonly ids: string[];
  /** Those of them that have a stop. */
  readonly stopped: string[];
  /** Null after the last page. */
  readonly next: JobPosition | null;
}

/**
 * Walks over the waiting jobs of all queues. The lists change meanwhile: a job that slips from one page to another is met
 * in the next walk.
 */
export class JobLists {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The page at a position, null for the first. */
  async page(position: JobPosition | null, size: number): Promise<JobPage> {
    const queues = await this.#store.registry.queueNames();
    const at = position ?? { queue: queues[0] ?? '', list: LISTS[0], offset: 0 };
    if (at.queue === '') return { queue: '', ids: [], stopped: [], next: null };
    const [ids, stopped] = await this.#read(at.queue, at.list, at.offset, size);
    return { queue: at.queue, ids, stopped, next: ids.length === size ? { ...at, offset: at.offset + size } : nextList(at, queues) };
  }

  /** What runs on a queue, all of it: it is no more than the slots of the fleet. */
  async active(queue: string): Promise<{ readonly ids: string[]; readonly stopped: string[] }> {
    const [ids, stopped] = await this.#read(queue, 'active', 0, Infinity);
    return { ids, stopped };
  }

  /** A position as text, `''` for none. */
  format(position: JobPosition | null): string {
    return position ? JSON.stringify([position.queue, position.list, position.offset]) : '';
  }

  /** Null for what is no position. */
  parse(text: string | null): JobPosition | null {
    try {
      const [queue, list, offset] = JSON.parse(text ?? '') as [unknown, unknown, unknown];
      const known = LISTS.find((name) => name === list);
      return typeof queue === 'string' && known && Number.isInteger(offset) ? { queue, list: known, offset: offset as number } : null;
    } catch {
      return null;
    }
  }

  async #read(queue: string, list: ListName | 'active', offset: number, size: number): Promise<[ids: string[], stopped: string[]]> {
    const { redis, keys, unreadable: reporter } = this.#store;
    const jobs = keys.jobs(queue);
    const [ids, stopped, unreadable, type] = await redis.readPage(jobs + list, jobs, offset, size === Infinity ? -1 : offset + size - 1);
    if (type !== undefined) reporter.report({ key: jobs + list, problem: `expected a ${list === 'wait' || list === 'active' ? 'list' : 'sorted set'}, found a ${type}` });
    for (let index = 0; index < unreadable.length; index += 2) reporter.report({ key: jobs + (unreadable[index] as string), problem: unreadable[index + 1] as string });
    return [ids, stopped];
  }
}

function nextList({ queue, list }: JobPosition, queues: readonly string[]): JobPosition | null {
  const nextName = LISTS[LISTS.indexOf(list) + 1];
  if (nextName) return { queue, list: nextName, offset: 0 };
  // A queue whose name is gone meanwhile: on with the one that comes after it.
  const nextQueue = queues.find((name) => name > queue);
  return nextQueue === undefined ? null : { queue: nextQueue, list: LISTS[0], offset: 0 };
}
