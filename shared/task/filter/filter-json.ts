import { badArgument } from '../../arguments.js';
import { parseDuration } from '../../time.js';
import type { TaskState } from '../state.js';
import type { StateGroup, TaskFilter, TaskOrder } from './filter.js';

/** A filter in queries, in JSON bodies and in the input of built-in tasks. Times are ISO 8601, or a duration back from now. */
export interface FilterJson {
  /** States separated by commas, or a group. */
  readonly state?: string | undefined;
  readonly name?: string | undefined;
  readonly item?: string | undefined;
  readonly queue?: string | undefined;
  readonly tag?: string | readonly string[] | undefined;
  readonly worker?: string | undefined;
  readonly error?: string | undefined;
  readonly enqueued_after?: string | undefined;
  readonly enqueued_before?: string | undefined;
  readonly finished_after?: string | undefined;
  readonly finished_before?: string | undefined;
  /** A duration: `1h`. */
  readonly older_than?: string | undefined;
  readonly q?: string | undefined;
  readonly order?: string | undefined;
}

const ISO = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/i;

/** Returns the filter of a query or body; `now` in ms. Its values are checked where it is used. @throws FleetError `INVALID_OPTION` */
export function filterOfJson(json: FilterJson, now: number): TaskFilter {
  return {
    state: json.state === undefined ? undefined : statesOf(json.state),
    name: json.name,
    item: json.item,
    queue: json.queue,
    tag: json.tag,
    worker: json.worker,
    error: json.error,
    enqueuedAfter: timeOf('enqueued_after', json.enqueued_after, now),
    enqueuedBefore: timeOf('enqueued_before', json.enqueued_before, now),
    finishedAfter: timeOf('finished_after', json.finished_after, now),
    finishedBefore: timeOf('finished_before', json.finished_before, now),
    olderThanMs: json.older_than === undefined ? undefined : durationOf('older_than', json.older_than),
    search: json.q,
    order: json.order as TaskOrder | undefined,
  };
}

/** Returns the JSON of a filter, without the absent conditions. */
export function filterToJson(filter: TaskFilter): FilterJson {
  const { state, name, item, queue, tag, worker, error, olderThanMs, search, order } = filter;
  const all: FilterJson = {
    state: typeof state === 'object' ? state.join(',') : state,
    ...{ name, item, queue, tag, worker, error, order },
    enqueued_after: filter.enqueuedAfter?.toISOString(),
    enqueued_before: filter.enqueuedBefore?.toISOString(),
    finished_after: filter.finishedAfter?.toISOString(),
    finished_before: filter.finishedBefore?.toISOString(),
    older_than: olderThanMs === undefined ? undefined : `${olderThanMs}ms`,
    q: search,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as FilterJson;
}

/** Parses a time in ISO 8601, or a duration back from now. @throws FleetError `INVALID_OPTION` */
export function parseTime(field: string, text: string, now: number): Date {
  const ms = parseDuration(text);
  const time = ms !== null ? new Date(now - ms) : new Date(ISO.test(text) ? text : Number.NaN);
  if (!Number.isNaN(time.getTime())) return time;
  throw badArgument(
    'INVALID_OPTION',
    field,
    'a time in ISO 8601, such as 2030-01-31T12:00:00Z, or a duration back from now, such as 1h',
    text,
  );
}

/** @throws FleetError `INVALID_OPTION` */
function durationOf(field: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== null) return ms;
  throw badArgument('INVALID_OPTION', field, 'a duration such as 30s, 15m, 1h or 7d', text);
}

function timeOf(field: string, text: string | undefined, now: number): Date | undefined {
  return text === undefined ? undefined : parseTime(field, text, now);
}

function statesOf(text: string): readonly (TaskState | StateGroup)[] {
  return text.split(',').map((state) => state.trim() as TaskState | StateGroup);
}
