import { FleetError } from '../errors.js';
import type { FilterJson } from '../task/filter/filter-json.js';
import { STATE_GROUPS, type TaskFilter, checkFilter, statesOf } from '../task/filter/filter.js';
import { isTerminal, type TaskState } from '../task/state.js';

/** The acts on all tasks that a filter selects. */
export const BULK_ACTIONS = ['stop', 'retry'] as const;
export type BulkAction = (typeof BULK_ACTIONS)[number];

interface BulkBounds {
  /** Tasks enqueued later, or for a retry ended later, are left out; in ms since the epoch. */
  readonly until: number;
  /** Whether a filter without a condition is allowed. */
  readonly all: boolean;
}

const RETRYABLE: ReadonlySet<TaskState> = new Set(['failed', 'cancelled', 'skipped']);

/**
 * Returns the filter of a bulk: with states that the action can change, and with fixed times, so that the bulk ends and a repetition
 * selects no further tasks.
 * @throws FleetError `INVALID_OPTION`, `INVALID_ITEM`
 */
export function bulkFilter(action: BulkAction, filter: TaskFilter, { until, all }: BulkBounds): TaskFilter {
  const { olderThanMs, ...rest } = filter;
  checkFilter(filter);
  if (!all && !hasCondition(filter))
    throw bad('filter', `it has no condition and would ${action} every ${action === 'stop' ? 'live' : 'failed'} task; pass all to do that`);
  const state = filter.state ?? (action === 'stop' ? 'live' : 'failed');
  const wrong = [...statesOf(state)].find((one) => (action === 'stop' ? isTerminal(one) : !RETRYABLE.has(one)));
  if (wrong !== undefined) {
    const expected = action === 'stop' ? 'states of live tasks' : [...RETRYABLE].join(', ');
    throw bad('state', `expected ${expected}, got ${wrong}; there is nothing to ${action}`);
  }
  const end = until + 1 - (olderThanMs ?? 0);
  if (action === 'stop') return { ...rest, state, enqueuedBefore: earlier(filter.enqueuedBefore, end) };
  return { ...rest, state, finishedBefore: earlier(filter.finishedBefore, end) };
}

/** Returns a filter as one line, for people: `state=failed name=invoice.send`. */
export function filterText(filter: FilterJson): string {
  return Object.entries(filter)
    .flatMap(([name, value]) => [value].flat().map((one: string) => `${name}=${one}`))
    .join(' ');
}

/** Whether a filter has a condition besides a group of states. */
function hasCondition({ state, order: _order, ...others }: TaskFilter): boolean {
  const states: readonly string[] = state === undefined ? [] : [state].flat();
  if (states.length > 0 && !states.some((one) => STATE_GROUPS.some((group) => group === one))) return true;
  return Object.values(others).some((value) => value !== undefined && !(Array.isArray(value) && value.length === 0));
}

function earlier(given: Date | undefined, end: number): Date {
  return new Date(Math.min(given?.getTime() ?? Infinity, end));
}

function bad(field: string, problem: string): FleetError {
  return new FleetError('INVALID_OPTION', `Bad ${field}: ${problem}.`, { details: { field } });
}
