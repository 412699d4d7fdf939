import { randomUUID } from 'node:crypto';
import { badArgument, isObject } from '../../shared/arguments.js';
import { type BulkAction, bulkFilter } from '../../shared/bulk/bulk-filter.js';
import { type BulkOutcomes, type BulkReceipt, noOutcomes } from '../../shared/bulk/bulk-receipt.js';
import { type BulkProgress, MemoryJournal, runBulk } from '../../shared/bulk/bulk-run.js';
import { BulkSearch } from '../../shared/bulk/bulk-search.js';
import type { RetryReceipt, TaskRetry } from '../../shared/retry/task-retry.js';
import type { StopReceipt } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import { type TaskFilter, checkFilter } from '../../shared/task/filter/filter.js';
import type { TaskView } from '../../shared/task/view.js';
import { signalOptionsOf } from '../arguments.js';
import type { CallGate } from '../calls.js';
import type { Visibility } from '../list.js';
import type { StopOptions, TaskStop } from '../stop.js';

export interface BulkOptions<Receipt extends BulkReceipt = BulkReceipt> extends Visibility {
  /** Count the tasks and return the first ten, and change none. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Allow a filter without a condition. Default false. */
  readonly all?: boolean | undefined;
  /** Called at the start and after each page of tasks, with the totals and the receipts of the page. */
  readonly onProgress?: ((progress: BulkProgress<Receipt>) => void) | undefined;
  /** Ends the bulk between two pages: it rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export type StopWhereOptions = BulkOptions<StopReceipt> & Pick<StopOptions, 'reason' | 'by'>;
export type RetryWhereOptions = BulkOptions<RetryReceipt>;

export interface BulkResult<Receipt extends BulkReceipt = BulkReceipt> {
  /** Tasks that the filter selected. */
  readonly matched: number;
  /** False if a dry run did not count all tasks. */
  readonly complete: boolean;
  /** Tasks by outcome; none in a dry run. */
  readonly outcomes: BulkOutcomes;
  /** The first ten tasks of a dry run; empty otherwise. */
  readonly first: readonly TaskView[];
  /** One receipt for each task; none in a dry run. */
  readonly receipts: readonly Receipt[];
}

interface TaskBulkOptions {
  readonly store: Store;
  readonly calls: CallGate;
  readonly stop: TaskStop;
  readonly retry: TaskRetry;
}

/** Stops or retries all tasks that a filter selects. */
export class TaskBulk {
  constructor(private readonly options: TaskBulkOptions) {}

  stopWhere(filter: TaskFilter, options: StopWhereOptions | undefined): Promise<BulkResult<StopReceipt>> {
    const { reason, by } = signalOptionsOf(options);
    return this.#run('stop', filter, options, (ids) => this.options.stop.stop(ids, { reason, by }));
  }

  retryWhere(filter: TaskFilter, options: RetryWhereOptions | undefined): Promise<BulkResult<RetryReceipt>> {
    const batch = randomUUID();
    return this.#run('retry', filter, options, (ids) => this.options.retry.retryEach(ids, batch));
  }

  async #run<Receipt extends BulkReceipt>(
    action: BulkAction,
    filter: TaskFilter,
    given: BulkOptions<Receipt> | undefined,
    act: (ids: readonly string[]) => Promise<Receipt[]>,
  ): Promise<BulkResult<Receipt>> {
    if (!isObject(filter)) throw badArgument('INVALID_OPTION', 'filter', 'an object', filter);
    const { dryRun = false, all = false, onProgress, signal, visibleItems } = signalOptionsOf(given);
    const { calls, store } = this.options;
    const until = await calls.repeatable(() => Promise.resolve(store.clock.now()));
    const search = new BulkSearch(store.search, checkFilter(bulkFilter(action, filter, { until, all }), visibleItems));
    if (dryRun) return { ...(await calls.repeatable(() => search.preview())), outcomes: noOutcomes(action), receipts: [] };
    const receipts: Receipt[] = [];
    const { done, outcomes } = await runBulk({
      journal: new MemoryJournal(noOutcomes(action)),
      pageAfter: (position) => calls.repeatable(() => search.pageAfter(position)),
      // A count costs as much as the search.
      count: () => (onProgress ? calls.repeatable(() => search.count()) : Promise.resolve(null)),
      act: (ids) => calls.repeatable(() => act(ids)),
      signal,
      onProgress: (progress) => {
        receipts.push(...progress.receipts);
        onProgress?.(progress);
      },
    });
    return { matched: done, complete: true, outcomes, first: [], receipts };
  }
}
