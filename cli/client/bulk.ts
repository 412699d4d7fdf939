import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt as ReceiptJson, Task as TaskJson } from '../../client/index.js';
import type { Bulk } from '../../dashboard/api/schemas/bulk.js';
import type { BulkAction, BulkResult, RetryReceipt, TaskFilter } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { MAX_PAGE_SIZE } from '../../shared/limits.js';
import { filterToJson } from '../../shared/task/filter/filter-json.js';
import { isTerminal } from '../../shared/task/state.js';
import type { BulkCall } from './client.js';
import { receiptOfJson, taskOf } from './follow.js';
import { type ApiConnection, isTransient } from './http-connection.js';

/** The first and the longest pause between two looks at a bulk. */
const POLL_MS = { first: 100, longest: 1_000 } as const;

interface BulkAsk {
  readonly action: BulkAction;
  readonly filter: TaskFilter;
  readonly reason?: string | undefined;
}

/** Starts a bulk over the API and follows it to its end. An abort leaves it running. */
export async function bulkOverApi(connection: ApiConnection, { action, filter, reason }: BulkAsk, call: BulkCall): Promise<BulkResult> {
  const { dryRun = false, all, signal, onProgress, onBegun } = call;
  const path = `/tasks/${action}`;
  const body = { filter: filterToJson(filter), all, reason, dry_run: dryRun };
  if (dryRun) return connection.ask(path, previewOf, { method: 'POST', body });
  // With a key, a request whose answer was lost can be sent again.
  const headers = { 'Idempotency-Key': `"${randomUUID()}"` };
  const begin = (): Promise<Bulk> => connection.ask(path, (bulk: Bulk) => bulk, { method: 'POST', body, headers });
  let bulk = await begin().catch((error: unknown) => {
    if (!isTransient(error)) throw error;
    return begin();
  });
  onBegun?.(bulk.id);
  for (let pause: number = POLL_MS.first; ; pause = Math.min(POLL_MS.longest, pause * 2)) {
    onProgress?.({ total: bulk.total, done: bulk.done, outcomes: bulk.outcomes, receipts: [] });
    if (isTerminal(bulk.state)) break;
    await sleep(pause, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
    bulk = await look(connection, bulk);
  }
  if (bulk.state !== 'completed') throw endOf(bulk);
  return { matched: bulk.matched, complete: true, outcomes: bulk.outcomes, first: [], receipts: await receiptsOf(connection, bulk) };
}

/** Reads a bulk again; unchanged while the API is away for a moment. */
async function look(connection: ApiConnection, bulk: Bulk): Promise<Bulk> {
  try {
    return await connection.ask(pathOf(bulk), (now: Bulk) => now);
  } catch (error) {
    if (isTransient(error)) return bulk;
    throw error;
  }
}

async function receiptsOf(connection: ApiConnection, bulk: Bulk): Promise<BulkResult['receipts']> {
  type Page = { readonly receipts: readonly (ReceiptJson | RetryReceipt)[]; readonly next: string | null };
  const receipts: BulkResult['receipts'][number][] = [];
  for (let after: string | null = '0'; after !== null;) {
    const query = { after, limit: MAX_PAGE_SIZE };
    const page: Page = await connection.ask(`${pathOf(bulk)}/receipts`, (found: Page) => found, { query });
    receipts.push(...page.receipts.map((one) => ('via' in one ? receiptOfJson(one) : one)));
    after = page.next;
  }
  return receipts;
}

function pathOf({ id }: Bulk): string {
  return `/bulk/${encodeURIComponent(id)}`;
}

function previewOf({ matched, complete, first }: { matched: number; complete: boolean; first: TaskJson[] }): BulkResult {
  return { matched, complete, outcomes: {}, first: first.map(taskOf), receipts: [] };
}

function endOf({ id, action, state, done, matched, error }: Bulk): FleetError {
  const rest = `${done.toLocaleString('en')} of ${Math.max(matched, done).toLocaleString('en')} tasks done`;
  if (state === 'cancelled')
    return new FleetError('TASK_CANCELLED', `The ${action} was itself stopped: ${rest}. Repeat it to do the rest.`);
  return new FleetError(
    'TASK_FAILED',
    `The ${action} failed (bulk ${id}): ${error ?? 'no reason recorded'}; ${rest}. Repeat it to do the rest.`,
  );
}
