import { PARKED_FROM } from '../limiter/parked-jobs.js';
import { type CheckedFilter, LIVE_STATES } from '../task/filter/filter.js';
import { type TaskState, isTerminal } from '../task/state.js';

/** Kinds of tasks, with their own time in a list: the enqueue of a live task, the end of an ended one. */
export type TaskKind = 'live' | 'ended';

/** Bounds of a time in ms, both exclusive; null for none. */
export interface TimeRange {
  readonly after: number | null;
  readonly before: number | null;
}

/** Returns the bounds of the time by which tasks of a kind are listed; null if none can pass. */
export function timesOf(filter: CheckedFilter, kind: TaskKind, now: number): TimeRange | null {
  const { enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore, olderThanMs } = filter;
  const older = olderThanMs === null ? null : now - olderThanMs;
  if (kind === 'ended') return { after: finishedAfter, before: lowest(finishedBefore, older) };
  return finishedAfter === null && finishedBefore === null ? { after: enqueuedAfter, before: lowest(enqueuedBefore, older) } : null;
}

/** Returns the conditions that scripts check on jobs, as JSON; see scripts/search/conditions.lua. */
export function conditionsOf(filter: CheckedFilter, kind: TaskKind): string {
  const { states, name, item, tags, worker, error, search, visibleItems, enqueuedAfter, enqueuedBefore } = filter;
  return JSON.stringify({
    states: Object.fromEntries([...states].filter((state) => isOf(state, kind)).map((state) => [state, true])),
    parkedFrom: PARKED_FROM,
    ...(name !== null && { name }),
    ...(item !== null && { item }),
    ...(visibleItems !== null && { visible: visibleItems.map((pattern) => pattern.split('*')) }),
    ...(tags.length > 0 && { tags }),
    ...(worker !== null && { worker }),
    ...(error !== null && { error }),
    ...(search !== null && { search }),
    ...(kind === 'ended' && enqueuedAfter !== null && { enqueuedAfter }),
    ...(kind === 'ended' && enqueuedBefore !== null && { enqueuedBefore }),
  });
}

/** Returns whether every registered task passes, apart from its queue and times: then its view is read at once. */
export function isPlain(filter: CheckedFilter): boolean {
  const { states, name, item, tags, worker, error, search, visibleItems } = filter;
  const isUnnamed = name === null && item === null && tags.length === 0 && search === null;
  return isUnnamed && worker === null && error === null && visibleItems === null && LIVE_STATES.every((one) => states.has(one));
}

/** Returns whether a filter selects tasks of a kind. */
export function selects({ states }: CheckedFilter, kind: TaskKind): boolean {
  return [...states].some((state) => isTerminal(state) === (kind === 'ended'));
}

function lowest(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}

/** An unreadable job may be listed as live or as ended. */
function isOf(state: TaskState, kind: TaskKind): boolean {
  return state === 'unreadable' || isTerminal(state) === (kind === 'ended');
}
