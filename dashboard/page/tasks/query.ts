import type { TaskState } from '../parts/api-types.js';

/** The groups of states in the filter. */
export const GROUPS = ['live', 'ended', 'all'] as const;
type Group = (typeof GROUPS)[number];

export const LIVE_STATES = ['running', 'queued', 'retrying', 'scheduled', 'waiting', 'stopping', 'unreadable'] as const;
export const ENDED_STATES = ['failed', 'completed', 'cancelled', 'skipped'] as const;
export const RETRYABLE_STATES = ['failed', 'cancelled', 'skipped'] as const;

type TimeField = 'enqueued_after' | 'enqueued_before' | 'finished_after' | 'finished_before';
export type TextField = 'q' | 'name' | 'item' | 'queue' | 'worker' | 'error' | 'older_than' | TimeField;

/** The conditions with one text each, named as in the API, in the order in which the page shows them. */
export const TEXTS: readonly TextField[] = [
  ...(['q', 'name', 'item', 'queue', 'worker', 'error', 'older_than'] as const),
  ...(['enqueued_after', 'enqueued_before', 'finished_after', 'finished_before'] as const),
];

export const LIMITS = [50, 100, 250, 500] as const;
const DEFAULT_LIMIT = 100;

/** What the list shows: in the page's URL, so that it can be bookmarked and shared. */
export interface TaskQuery {
  readonly states: Group | readonly TaskState[];
  readonly texts: Readonly<Partial<Record<TextField, string>>>;
  readonly tags: readonly string[];
  readonly order: 'newest' | 'oldest';
  readonly limit: number;
}

/** Reads the query of a URL. Ignores values that it does not know. */
export function readQuery(search: string): TaskQuery {
  const values = new URLSearchParams(search);
  const limit = Number(values.get('limit'));
  const texts = TEXTS.flatMap((name): [string, string][] => {
    const text = values.get(name)?.trim() ?? '';
    return text === '' ? [] : [[name, text]];
  });
  return {
    states: readStates(values.get('state') ?? ''),
    texts: Object.fromEntries(texts),
    tags: [...new Set(values.getAll('tag').filter((tag) => tag !== ''))],
    order: values.get('order') === 'oldest' ? 'oldest' : 'newest',
    limit: LIMITS.find((allowed) => allowed === limit) ?? DEFAULT_LIMIT,
  };
}

function readStates(text: string): TaskQuery['states'] {
  const group = GROUPS.find((name) => name === text);
  if (group) return group;
  const given = text.split(',').map((state) => state.trim());
  const states = [...LIVE_STATES, ...ENDED_STATES].filter((state) => given.includes(state));
  return states.length > 0 ? states : 'live';
}

/** Returns the states that a query selects. */
export function statesOf({ states }: Pick<TaskQuery, 'states'>): readonly TaskState[] {
  if (typeof states !== 'string') return states;
  return states === 'live' ? LIVE_STATES : states === 'ended' ? ENDED_STATES : [...LIVE_STATES, ...ENDED_STATES];
}

/** Returns the filter of a query as the body of a bulk has it; without its states if these are given. */
export function filterOf(query: TaskQuery, states: TaskQuery['states'] = query.states): Record<string, string | readonly string[]> {
  return {
    ...(states !== 'live' && { state: typeof states === 'string' ? states : states.join(',') }),
    ...query.texts,
    ...(query.tags.length > 0 && { tag: query.tags }),
  };
}

/** Returns whether a query has conditions besides states. */
export function hasConditions({ texts, tags }: TaskQuery): boolean {
  return tags.length > 0 || Object.keys(texts).length > 0;
}

/** Returns the query of the page's URL; `''` for the defaults. */
export function searchOf(query: TaskQuery): string {
  const values = valuesOf(query);
  if (query.limit !== DEFAULT_LIMIT) values.set('limit', String(query.limit));
  return values.size === 0 ? '' : `?${values.toString()}`;
}

/** Returns the API path of a page of the list. */
export function listPath(query: TaskQuery, after: string | null): string {
  const values = valuesOf(query);
  values.set('limit', String(query.limit));
  if (after !== null) values.set('after', after);
  return `tasks?${values.toString()}`;
}

/** Returns the API path of the number of tasks in these states. */
export function countPath(query: TaskQuery, states: TaskQuery['states']): string {
  const values = valuesOf({ ...query, states, order: 'newest' });
  return `tasks/count${values.size === 0 ? '' : `?${values.toString()}`}`;
}

function valuesOf(query: TaskQuery): URLSearchParams {
  const values = new URLSearchParams();
  for (const [name, value] of Object.entries(filterOf(query))) for (const each of [value].flat()) values.append(name, each);
  if (query.order !== 'newest') values.set('order', query.order);
  return values;
}

/** Returns the value of `item` for exactly this item: at the end of a value, `*` stands for any text. */
export function exactly(item: string): string {
  return item.endsWith('*') ? `${item.slice(0, -1)}\\*` : item;
}

const LABELS: Readonly<Record<TextField, string>> = {
  ...{ q: 'begins with', name: 'name', item: 'item', queue: 'queue', worker: 'worker', error: 'error contains', older_than: 'older than' },
  ...{ enqueued_after: 'enqueued after', enqueued_before: 'enqueued before' },
  ...{ finished_after: 'finished after', finished_before: 'finished before' },
};

/** A condition of a query, and the query without it. */
export interface Condition {
  readonly text: string;
  readonly without: TaskQuery;
}

/** Returns the conditions of a query besides its states. */
export function conditionsOf(query: TaskQuery): Condition[] {
  const { texts, tags } = query;
  return [
    ...TEXTS.flatMap((name) => {
      const { [name]: text, ...others } = texts;
      return text === undefined ? [] : [{ text: `${LABELS[name]} ${text}`, without: { ...query, texts: others } }];
    }),
    ...tags.map((tag) => ({ text: `tag ${tag}`, without: { ...query, tags: tags.filter((other) => other !== tag) } })),
  ];
}
