import { type Bulk, type Me, type Task, type TaskState, mayOperate, mayStop } from '../../parts/api-types.js';
import { LIVE_STATES, RETRYABLE_STATES, type TaskQuery, filterOf, statesOf } from '../query.js';
import type { Selection } from './selection.js';

export type BulkAction = Bulk['action'];

/** What a bulk would act on. */
export interface DryRun {
  readonly matched: number;
  /** False if there may be more. */
  readonly complete: boolean;
  readonly first: readonly Task[];
}

/** The most tasks that may be chosen one by one. */
export const MAX_CHOSEN = 1_000;

/** Returns what may be done with tasks of these states. */
export function bulkActions(query: TaskQuery, principal: Me): BulkAction[] {
  const states = statesOf(query);
  return [
    ...(mayStop(principal) && states.some(isLive) ? (['stop'] as const) : []),
    ...(mayOperate(principal) && states.some(isRetried) ? (['retry'] as const) : []),
  ];
}

/** Returns the body of the request without its reason: the chosen tasks, or the filter with the states that the action is for. */
export function bulkBody(action: BulkAction, selection: Pick<Selection, 'ids' | 'all'>, query: TaskQuery): Record<string, unknown> {
  if (!selection.all) return { ids: selection.ids };
  const wanted = statesOf(query).filter(action === 'stop' ? isLive : isRetried);
  const filter = filterOf(query, action === 'stop' && wanted.length === LIVE_STATES.length ? 'live' : wanted);
  return { filter, ...(Object.keys(filter).length === 0 && { all: true }) };
}

function isLive(state: TaskState): boolean {
  return LIVE_STATES.some((live) => live === state);
}

function isRetried(state: TaskState): boolean {
  return RETRYABLE_STATES.some((ended) => ended === state);
}
