import type { Store } from '../../shared/store.js';

/** Where live jobs are. `active` first: what runs matters most, and is short. */
const LISTS = ['active', 'wait', 'prioritized', 'delayed', 'waiting-children'] as const;
type ListName = (typeof LISTS)[number];

/** A place in the walk over the jobs of all queues. */
export interface JobPosition {
  readonly queue: string;
  readonly list: ListName;
  readonly offset: number;
}

export interface JobPage {
  readonly queue: string;
  readonly ids: string[];
  /** Null after the last page. */
  readonly next: JobPosition | null;
}

/**
 * Walks over the live jobs of all queues. The lists change meanwhile: a job that slips from one page to another is met
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
    if (at.queue === '') return { queue: '', ids: [], next: null };
    const ids = await this.#read(at, size);
    return { queue: at.queue, ids, next: ids.length === size ? { ...at, offset: at.offset + size } : nextList(at, queues) };
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

  #read({ queue, list, offset }: JobPosition, size: number): Promise<string[]> {
    const { redis, keys } = this.#store;
    const key = keys.jobs(queue) + list;
    if (list === 'active' || list === 'wait') return redis.lrange(key, offset, offset + size - 1);
    return redis.zrange(key, String(offset), String(offset + size - 1));
  }
}

function nextList({ queue, list }: JobPosition, queues: readonly string[]): JobPosition | null {
  const nextName = LISTS[LISTS.indexOf(list) + 1];
  if (nextName) return { queue, list: nextName, offset: 0 };
  // A queue whose name is gone meanwhile: on with the one that comes after it.
  const nextQueue = queues.find((name) => name > queue);
  return nextQueue === undefined ? null : { queue: nextQueue, list: LISTS[0], offset: 0 };
}
