import { MAINTENANCE_QUEUE } from '../schedule/schedule.js';
import type { TaskSearch } from '../search/search.js';
import type { CheckedFilter } from '../task/filter/filter.js';
import type { TaskView } from '../task/view.js';
import type { BulkPage } from './bulk-run.js';

/** The start of the ids of bulks, which are tasks of the maintenance queue. */
export const BULK_ID_START = 'bulk.';
/** Tasks of a page. */
const PAGE_SIZE = 500;
/** Tasks counted at the start: a count costs about as much as the search. */
const MOST_COUNTED = 100_000;
/** Tasks that a dry run shows. */
const SHOWN = 10;

/** Whether a task is a bulk: no bulk acts on itself or on others. */
export function isBulk({ id, queue }: { readonly id: string; readonly queue: string | null }): boolean {
  return queue === MAINTENANCE_QUEUE && id.startsWith(BULK_ID_START);
}

/** The tasks of a bulk, by a filter. */
export class BulkSearch {
  constructor(
    private readonly search: TaskSearch,
    private readonly filter: CheckedFilter,
  ) {}

  async pageAfter(after: string | null): Promise<BulkPage> {
    const { found, next } = await this.search.ids(this.filter, { after, limit: PAGE_SIZE });
    return { ids: found.filter((task) => !isBulk(task)).map(({ id }) => id), next };
  }

  /** Counts the tasks; null if there are more than can be counted. */
  async count(): Promise<number | null> {
    const { count, complete } = await this.search.count(this.filter, MOST_COUNTED);
    return complete ? count : null;
  }

  /** Counts the tasks and returns the first ones. */
  async preview(): Promise<{ readonly matched: number; readonly complete: boolean; readonly first: TaskView[] }> {
    const [{ count: matched, complete }, first] = await Promise.all([this.search.count(this.filter, MOST_COUNTED), this.#first()]);
    return { matched, complete, first };
  }

  async #first(): Promise<TaskView[]> {
    const first: TaskView[] = [];
    for (let after: string | null = null; ;) {
      const { tasks, next } = await this.search.page(this.filter, { after, limit: SHOWN });
      first.push(...tasks.filter((task) => !isBulk(task)));
      if (first.length >= SHOWN || next === null) return first.slice(0, SHOWN);
      after = next;
    }
  }
}
