import { HashReader } from '../records/hash-reader.js';
import type { RetryReceipt } from '../retry/task-retry.js';
import { STOP_WAYS, type StopReceipt, receiptToJson } from '../stop/receipt.js';
import { TASK_STATES, TERMINAL_STATES } from '../task/state.js';
import type { BulkAction } from './bulk-filter.js';

/** The answer of a bulk about one of its tasks. */
export type BulkReceipt = StopReceipt | RetryReceipt;

const OUTCOMES = {
  stop: ['cancelled', 'requested', 'finished', 'not_found'],
  retry: ['retried', 'not_retryable', 'not_found'],
} as const satisfies Record<BulkAction, readonly BulkReceipt['outcome'][]>;

/** Tasks by outcome; each outcome of the action is there. */
export type BulkOutcomes = Readonly<Record<string, number>>;

/** Returns the outcomes of an action without tasks. */
export function noOutcomes(action: BulkAction): BulkOutcomes {
  return Object.fromEntries(OUTCOMES[action].map((outcome) => [outcome, 0]));
}

/** Adds receipts to the outcomes. */
export function addOutcomes(outcomes: BulkOutcomes, receipts: readonly BulkReceipt[]): BulkOutcomes {
  const sum: Record<string, number> = { ...outcomes };
  for (const { outcome } of receipts) sum[outcome] = (sum[outcome] ?? 0) + 1;
  return sum;
}

/** Returns the outcomes in a record; 0 for what cannot be read. */
export function readOutcomes(action: BulkAction, stored: Readonly<Record<string, unknown>> | null): BulkOutcomes {
  const counts = OUTCOMES[action].map((outcome) => [outcome, stored?.[outcome]] as const);
  return Object.fromEntries(counts.map(([outcome, count]) => [outcome, Number.isSafeInteger(count) ? (count as number) : 0]));
}

/** `4,990 cancelled, 10 requested`; outcomes without tasks are left out. */
export function outcomesText(outcomes: BulkOutcomes): string {
  const parts = Object.entries(outcomes).filter(([, count]) => count > 0);
  return parts.map(([outcome, count]) => `${count.toLocaleString('en')} ${outcome.replaceAll('_', ' ')}`).join(', ') || 'no tasks';
}

/** Formats a receipt for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function bulkReceiptToJson(receipt: BulkReceipt): Record<string, unknown> {
  return isOfRetry(receipt) ? { ...receipt } : receiptToJson(receipt);
}

function isOfRetry(receipt: BulkReceipt): receipt is RetryReceipt {
  return 'state' in receipt;
}

/** Formats a receipt for the journal: its JSON without absent values. */
export function formatReceipt(receipt: BulkReceipt): string {
  return JSON.stringify(Object.fromEntries(Object.entries(bulkReceiptToJson(receipt)).filter(([, value]) => value !== null)));
}

/** Parses a receipt of the journal; null if it is not one. */
export function parseReceipt(action: BulkAction, text: string): BulkReceipt | null {
  const fields = fieldsOf(text);
  const id = fields?.text('id') ?? null;
  const outcome = fields?.oneOf('outcome', OUTCOMES[action]) ?? null;
  if (fields === null || id === null || outcome === null) return null;
  if (action === 'retry') return { id, outcome: outcome as RetryReceipt['outcome'], state: fields.oneOf('state', TASK_STATES) };
  return {
    ...{ id, outcome: outcome as StopReceipt['outcome'] },
    endedAs: fields.oneOf('ended_as', TERMINAL_STATES),
    via: fields.oneOf('via', STOP_WAYS),
    reason: fields.text('reason'),
    by: fields.text('by'),
    requestedAt: dateOf(fields.text('requested_at')),
    settledAt: dateOf(fields.text('settled_at')),
    latencyMs: fields.number('latency_ms'),
  };
}

function fieldsOf(text: string): HashReader | null {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value !== 'object' || value === null) return null;
    return new HashReader(Object.fromEntries(Object.entries(value).map(([name, field]) => [name, String(field)])));
  } catch {
    return null;
  }
}

function dateOf(text: string | null): Date | null {
  const date = text === null ? null : new Date(text);
  return date === null || Number.isNaN(date.getTime()) ? null : date;
}
