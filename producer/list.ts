import { badArgument } from '../shared/arguments.js';
import { MAX_COUNTED, MAX_PAGE_SIZE } from '../shared/limits.js';
import type { SearchPage, TaskCount, TaskSearch } from '../shared/search/search.js';
import { type TaskFilter, checkFilter } from '../shared/task/filter/filter.js';
import type { TaskState } from '../shared/task/state.js';

/** Limits a list or count to the tasks that a caller may see. */
export interface Visibility {
  /** Patterns of the caller's items, where `*` stands for any text. Null, the default: all tasks. A `next` never names a hidden task. */
  readonly visibleItems?: readonly string[] | null | undefined;
}

export interface ListOptions extends TaskFilter, Visibility {
  /** The `next` of the previous page. */
  readonly after?: string | undefined;
  /** Maximum number of tasks, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

/** A page of a list. Its tasks have no inputs and no results. */
export type TaskPage = SearchPage;

export interface CountOptions extends Visibility {
  /** Stop counting here: from 1 to 1,000,000, which is the default. */
  readonly atMost?: number | undefined;
}

const DEFAULT_LIMIT = 100;

/** Lists and counts tasks by a filter. */
export class TaskList {
  constructor(private readonly search: TaskSearch) {}

  /** @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  async page({ after, limit, visibleItems, ...filter }: ListOptions): Promise<TaskPage> {
    const checked = checkFilter(filter, visibleItems);
    if (after !== undefined && typeof after !== 'string') throw badArgument('INVALID_OPTION', 'after', 'a string', after);
    return this.search.page(checked, { after: after ?? null, limit: wholeFrom1('limit', limit, MAX_PAGE_SIZE) ?? DEFAULT_LIMIT });
  }

  /** @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  async count(filter: TaskFilter | undefined, { atMost, visibleItems }: CountOptions): Promise<TaskCount> {
    return this.search.count(checkFilter(filter, visibleItems), wholeFrom1('atMost', atMost, MAX_COUNTED) ?? MAX_COUNTED);
  }

  /** @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  async countByState(filter: TaskFilter | undefined, { atMost, visibleItems }: CountOptions): Promise<Map<TaskState, TaskCount>> {
    return this.search.countByState(checkFilter(filter, visibleItems), wholeFrom1('atMost', atMost, MAX_COUNTED) ?? MAX_COUNTED);
  }
}

/** @throws FleetError `INVALID_OPTION` */
function wholeFrom1(field: string, value: number | undefined, most: number): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return value;
  throw badArgument('INVALID_OPTION', field, `a whole number from 1 to ${most}`, value);
}
