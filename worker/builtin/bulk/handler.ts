import { randomUUID } from 'node:crypto';
import { BULK_ACTIONS, type BulkAction } from '../../../shared/bulk/bulk-filter.js';
import { type BulkReceipt, outcomesText } from '../../../shared/bulk/bulk-receipt.js';
import { type BulkTotals, runBulk } from '../../../shared/bulk/bulk-run.js';
import { BulkSearch } from '../../../shared/bulk/bulk-search.js';
import { RedisJournal } from '../../../shared/bulk/redis-journal.js';
import { messageOf } from '../../../shared/errors.js';
import { MAX_AUDIT_ENTRIES, auditWords } from '../../../shared/records/audit-entry.js';
import { TaskRetry } from '../../../shared/retry/task-retry.js';
import { StopRequested } from '../../../shared/stop/cause.js';
import { createReceipt, receiptOfAnswer } from '../../../shared/stop/receipt.js';
import { filterOfJson } from '../../../shared/task/filter/filter-json.js';
import { checkFilter } from '../../../shared/task/filter/filter.js';
import { isVisibleItem } from '../../../shared/task/filter/item-pattern.js';
import { type TaskContext, type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { BULK_DEFINITIONS } from '../definitions.js';
import type { FleetResources } from '../fleet-resources.js';
import type { BulkInput, BulkOutput } from './definition.js';

/** The handlers of `fleet.stop-tasks` and `fleet.retry-tasks`. */
export function bulkHandlers(fleet: FleetResources): readonly TaskHandler[] {
  const task = new BulkTask(fleet);
  return BULK_ACTIONS.map((action) => defineHandler(BULK_DEFINITIONS[action], (context) => task.run(action, context)));
}

/** Runs bulks as tasks: the journal in Redis lets another worker continue a bulk whose worker died. */
class BulkTask {
  readonly #retry: TaskRetry;

  constructor(private readonly fleet: FleetResources) {
    this.#retry = new TaskRetry(fleet.store, fleet.loggers('worker'));
  }

  async run(action: BulkAction, { id, input, signal, progress }: TaskContext<BulkInput>): Promise<BulkOutput> {
    const journal = new RedisJournal(this.fleet.store, id, action, randomUUID());
    let totals: BulkTotals | null = null;
    const audit = (result: string): Promise<void> => this.#audit(journal, action, input, `${id} ${result}: ${textOf(totals)}`);
    try {
      const { done, outcomes } = await runBulk({
        journal,
        ...this.#tasks(input),
        act: (ids) => this.#act(action, id, ids, input),
        signal,
        onProgress: ({ receipts: _receipts, ...now }) => {
          totals = now;
          progress(now);
        },
      });
      await audit('completed');
      return { matched: done, outcomes };
    } catch (error) {
      if (!signal.aborted) await audit(`failed (${messageOf(error)})`);
      else if (signal.reason instanceof StopRequested) await audit('stopped');
      throw error;
    }
  }

  #tasks({ filter, ids, visible_items: visible }: BulkInput): Pick<Parameters<typeof runBulk>[0], 'pageAfter' | 'count'> {
    if (filter === null) {
      const all = ids ?? [];
      return { pageAfter: () => Promise.resolve({ ids: all, next: null }), count: () => Promise.resolve(all.length) };
    }
    const search = new BulkSearch(this.fleet.store.search, checkFilter(filterOfJson(filter, 0), visible));
    return { pageAfter: (position) => search.pageAfter(position), count: () => search.count() };
  }

  async #act(action: BulkAction, bulk: string, given: readonly string[], input: BulkInput): Promise<BulkReceipt[]> {
    const ids = input.ids === null ? given : await this.#visible(given, input.visible_items);
    const hidden = given.filter((id) => !ids.includes(id));
    if (action === 'retry') {
      const receipts = await this.#retry.retryEach(ids, bulk);
      return [...receipts, ...hidden.map((id) => ({ id, outcome: 'not_found', state: null }) as const)];
    }
    const { reason, by } = input;
    const asked = { reason, by, at: new Date(this.fleet.store.clock.now()) };
    const answers = await this.fleet.store.stopper.request(ids, asked);
    return [
      ...ids.map((id) => receiptOfAnswer(id, answers.get(id) ?? { kind: 'not_found' }, asked)),
      ...hidden.map((id) => createReceipt({ id, outcome: 'not_found' })),
    ];
  }

  /** Returns the ids of the tasks that the caller may see. A filter finds no others. */
  async #visible(ids: readonly string[], patterns: readonly string[] | null): Promise<readonly string[]> {
    if (patterns === null) return ids;
    const tasks = await this.fleet.store.reader.read(ids);
    return ids.filter((id) => isVisibleItem(patterns, tasks.get(id)?.item ?? null));
  }

  /** Adds the end of the bulk to the audit, under its caller. Its failure must not repeat the bulk. */
  async #audit(journal: RedisJournal, action: BulkAction, { caller, reason }: BulkInput, result: string): Promise<void> {
    const fields = {
      ...caller.audit,
      action: `tasks.${action} (end)`,
      target: caller.target,
      item: null,
      reason,
      outcome: 'allowed',
      result,
    };
    const logger = this.fleet.loggers('worker');
    logger.info({ action, by: caller.audit['name'] ?? null, target: caller.target, result }, 'Bulk ended');
    try {
      await journal.audit(MAX_AUDIT_ENTRIES, auditWords(this.fleet.store.clock.now(), fields));
    } catch (error) {
      logger.error({ error: messageOf(error), result }, 'Could not add the end of a bulk to the audit stream; only the log has it');
    }
  }
}

function textOf(totals: BulkTotals | null): string {
  return totals === null ? 'nothing done' : `${totals.done.toLocaleString('en')} tasks: ${outcomesText(totals.outcomes)}`;
}
