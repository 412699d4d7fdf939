import type { TaskState } from './api-types.js';
import type { TaskFilter } from './task-set.js';

/** The list's filters and page size, kept in the URL so that they can be bookmarked and shared. */
export interface ListQuery extends TaskFilter {
  readonly limit: number;
}

export const LIMITS = [100, 250, 500, 1_000] as const;
export const STATES: readonly TaskState[] = [
  'scheduled',
  'queued',
  'waiting',
  'running',
  'retrying',
  'stopping',
  'completed',
  'failed',
  'cancelled',
  'unreadable',
];

export function readListQuery(search: string): ListQuery {
  const values = new URLSearchParams(search);
  const limit = Number(values.get('limit'));
  return {
    item: values.get('item') || null,
    state: STATES.find((state) => state === values.get('state')) ?? null,
    name: values.get('name') || null,
    limit: LIMITS.find((allowed) => allowed === limit) ?? LIMITS[0],
  };
}

/** Returns the query string for the page's URL and the API; `''` for the defaults. */
export function listSearch({ item, state, name, limit }: ListQuery): string {
  const values = new URLSearchParams();
  for (const [key, value] of Object.entries({ item, state, name })) if (value !== null) values.set(key, value);
  if (limit !== LIMITS[0]) values.set('limit', String(limit));
  return values.size === 0 ? '' : `?${values.toString()}`;
}

/** Returns the API path of one page of the list. */
export function listPath(query: ListQuery, after: string | null): string {
  const values = new URLSearchParams(listSearch(query));
  values.set('limit', String(query.limit));
  if (after !== null) values.set('after', after);
  return `tasks?${values.toString()}`;
}
