import { badArgument, describeValue, optionsOf } from '../../arguments.js';
import { FleetError } from '../../errors.js';
import { problemOfItem } from '../../keys.js';
import { MAX_DELAY_MS, MAX_FILTER_LENGTH, MAX_NAME_LENGTH, MAX_TAGS } from '../../limits.js';
import { TASK_STATES, type TaskState, isTerminal } from '../state.js';

/** Groups of states in a filter. */
export const STATE_GROUPS = ['live', 'ended', 'all'] as const;
export type StateGroup = (typeof STATE_GROUPS)[number];

export const TASK_ORDERS = ['newest', 'oldest'] as const;
export type TaskOrder = (typeof TASK_ORDERS)[number];

/** Selects tasks: all conditions apply. The same filter lists, counts, stops and retries. */
export interface TaskFilter {
  /** A state or a group (`live`, `ended`, `all`), or several. Default `live`. Ended tasks are found while they are retained. */
  readonly state?: TaskState | StateGroup | readonly (TaskState | StateGroup)[] | undefined;
  /** A task name, or the start of names followed by `*`. */
  readonly name?: string | undefined;
  /** An item, or the start of items followed by `*`. For an item that ends in `*`, see {@link exactly}. */
  readonly item?: string | undefined;
  /** A queue with its shards, or a single shard. */
  readonly queue?: string | undefined;
  /** A tag, or several: the task has all of them. */
  readonly tag?: string | readonly string[] | undefined;
  /** The id of the worker that runs the task, or ran its last attempt. */
  readonly worker?: string | undefined;
  /** Text that the task's error contains. Ignores ASCII case. */
  readonly error?: string | undefined;
  /** Excludes tasks enqueued at this time or before it. */
  readonly enqueuedAfter?: Date | undefined;
  /** Excludes tasks enqueued at this time or after it. */
  readonly enqueuedBefore?: Date | undefined;
  /** Excludes live tasks, and tasks that ended at this time or before it. */
  readonly finishedAfter?: Date | undefined;
  /** Excludes live tasks, and tasks that ended at this time or after it. */
  readonly finishedBefore?: Date | undefined;
  /** Minimum time since the enqueue of a live task, or since the end of an ended one, in ms. */
  readonly olderThanMs?: number | undefined;
  /** The start of the task's id, item, name or one of its tags. */
  readonly search?: string | undefined;
  /** Live tasks are ordered by their enqueue, ended ones by their end. Tasks of other programs come last. Default `newest`. */
  readonly order?: TaskOrder | undefined;
}

/** A text that a value equals or, with `prefix`, starts with. */
export interface TextMatch {
  readonly text: string;
  readonly prefix: boolean;
}

/** A validated filter. Times are in ms since the epoch; null for no condition. */
export interface CheckedFilter {
  readonly states: ReadonlySet<TaskState>;
  readonly name: TextMatch | null;
  readonly item: TextMatch | null;
  readonly queue: string | null;
  readonly tags: readonly string[];
  readonly worker: string | null;
  /** In lower case. */
  readonly error: string | null;
  readonly enqueuedAfter: number | null;
  readonly enqueuedBefore: number | null;
  readonly finishedAfter: number | null;
  readonly finishedBefore: number | null;
  readonly olderThanMs: number | null;
  readonly search: string | null;
  readonly order: TaskOrder;
  /** Patterns of the items that the caller may see; null for all tasks. */
  readonly visibleItems: readonly string[] | null;
}

export const LIVE_STATES: readonly TaskState[] = TASK_STATES.filter((state) => !isTerminal(state));
const ENDED_STATES = TASK_STATES.filter(isTerminal);
const GROUPS: Readonly<Record<StateGroup, readonly TaskState[]>> = { live: LIVE_STATES, ended: ENDED_STATES, all: TASK_STATES };

/** Returns the filter value for exactly this text, also if it ends in `*`. */
export function exactly(text: string): string {
  return text.endsWith('*') ? `${text.slice(0, -1)}\\*` : text;
}

/** Returns the states that a filter selects. @throws FleetError `INVALID_OPTION` */
export function statesOf(state: unknown): ReadonlySet<TaskState> {
  if (state === undefined) return new Set(LIVE_STATES);
  const given: readonly unknown[] = Array.isArray(state) ? state : [state];
  if (given.length === 0) throw badArgument('INVALID_OPTION', 'state', 'at least one state', state);
  return new Set(given.flatMap(expandState));
}

/** @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
export function checkFilter(filter: TaskFilter | undefined, visibleItems?: readonly string[] | null): CheckedFilter {
  const { state, name, item, queue, tag, worker, error, olderThanMs, search, order = 'newest', ...times } = optionsOf(filter, 'filter');
  const { enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore } = times;
  if (!TASK_ORDERS.includes(order)) throw badArgument('INVALID_OPTION', 'order', `one of ${TASK_ORDERS.join(', ')}`, order);
  return {
    states: statesOf(state),
    name: matchOf(textOf('name', name, MAX_NAME_LENGTH + 2)),
    item: itemOf(item),
    queue: textOf('queue', queue, MAX_NAME_LENGTH),
    tags: tagsOf(tag),
    worker: textOf('worker', worker, MAX_FILTER_LENGTH),
    error: lowerCase(textOf('error', error, MAX_FILTER_LENGTH)),
    enqueuedAfter: timeOf('enqueuedAfter', enqueuedAfter),
    enqueuedBefore: timeOf('enqueuedBefore', enqueuedBefore),
    finishedAfter: timeOf('finishedAfter', finishedAfter),
    finishedBefore: timeOf('finishedBefore', finishedBefore),
    olderThanMs: durationOf(olderThanMs),
    search: textOf('search', search, MAX_FILTER_LENGTH),
    order,
    visibleItems: patternsOf(visibleItems),
  };
}

/** Returns the text with ASCII letters in lower case, as Redis' scripts do it. */
export function lowerCase<Text extends string | null>(text: Text): Text {
  return (text === null ? null : text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase())) as Text;
}

function expandState(state: unknown): readonly TaskState[] {
  if (typeof state === 'string' && Object.hasOwn(GROUPS, state)) return GROUPS[state as StateGroup];
  const known = TASK_STATES.find((one) => one === state);
  if (known !== undefined) return [known];
  throw badArgument('INVALID_OPTION', 'state', `one of ${[...STATE_GROUPS, ...TASK_STATES].join(', ')}`, state);
}

function textOf(field: string, value: unknown, longest: number): string | null {
  if (value === undefined) return null;
  if (typeof value !== 'string') throw badArgument('INVALID_OPTION', field, 'a string', value);
  if (value.length > 0 && value.length <= longest && value.isWellFormed()) return value;
  const got = value.length === 0 ? 'none' : value.isWellFormed() ? `${value.length}` : describeValue(value);
  throw new FleetError('INVALID_OPTION', `Bad ${field}: expected 1 to ${longest} characters of well-formed Unicode, got ${got}.`, {
    details: { field },
  });
}

function matchOf(text: string | null): TextMatch | null {
  if (text === null) return null;
  if (text.endsWith('\\*')) return { text: `${text.slice(0, -2)}*`, prefix: false };
  return text.endsWith('*') ? { text: text.slice(0, -1), prefix: true } : { text, prefix: false };
}

function itemOf(item: unknown): TextMatch | null {
  if (item === undefined) return null;
  const match = typeof item === 'string' ? matchOf(item) : null;
  const problem = match?.prefix === true && match.text === '' ? null : problemOfItem(match?.text ?? item);
  if (problem !== null) throw new FleetError('INVALID_ITEM', `Bad item: ${problem}.`, { details: { field: 'item' } });
  return match;
}

function tagsOf(tag: unknown): readonly string[] {
  if (tag === undefined) return [];
  const tags: readonly unknown[] = Array.isArray(tag) ? tag : [tag];
  if (tags.length > MAX_TAGS) throw badArgument('INVALID_OPTION', 'tag', `at most ${MAX_TAGS} tags`, tags.length);
  for (const one of tags) {
    const problem = problemOfItem(one);
    if (problem !== null) throw new FleetError('INVALID_OPTION', `Bad tag: ${problem}.`, { details: { field: 'tag' } });
  }
  return [...new Set(tags as readonly string[])];
}

function timeOf(field: string, value: unknown): number | null {
  if (value === undefined) return null;
  const time = value instanceof Date ? value.getTime() : Number.NaN;
  if (Number.isNaN(time)) throw badArgument('INVALID_OPTION', field, 'a valid Date', value);
  return time;
}

function durationOf(value: unknown): number | null {
  if (value === undefined) return null;
  if (typeof value === 'number' && value >= 0 && value <= MAX_DELAY_MS) return value;
  throw badArgument('INVALID_OPTION', 'olderThanMs', `a number from 0 to ${MAX_DELAY_MS}`, value);
}

function patternsOf(value: unknown): readonly string[] | null {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
  throw badArgument('INVALID_OPTION', 'visibleItems', 'a list of item patterns', value);
}
