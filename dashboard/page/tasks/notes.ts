import { type TaskQuery, conditionsOf, hasConditions, statesOf } from './query.js';

/** Says how far a search got that gave up: `Looked through 20,000 tasks, back to 14:02.` Null if it did not give up. */
export function reachText(
  { searched, reached }: { readonly searched: number; readonly reached: string | null },
  order: TaskQuery['order'],
  timeOf: (iso: string) => string,
): string | null {
  if (reached === null) return null;
  return `Looked through ${searched.toLocaleString('en')} tasks, ${order === 'newest' ? 'back' : 'up'} to ${timeOf(reached)}.`;
}

/** An offer of the empty list: another query that may find something. */
interface Offer {
  readonly text: string;
  readonly query: TaskQuery;
}

export interface EmptyNote {
  readonly text: string;
  readonly offers: readonly Offer[];
  /** Whether to say how to enqueue a task. */
  readonly enqueue: boolean;
}

/** Says why the list is empty, and what to do next. */
export function emptyNote(query: TaskQuery): EmptyNote {
  const { states } = query;
  const conditions = conditionsOf(query).map(({ text }) => text);
  const what =
    typeof states === 'string' ? { live: 'live tasks', ended: 'ended tasks', all: 'tasks' }[states] : `${orList(statesOf(query))} tasks`;
  const elsewhere: Offer[] = states === 'all' ? [] : [{ text: 'Look in all states', query: { ...query, states: 'all' } }];
  if (hasConditions(query))
    return {
      text: `No ${what} match: ${conditions.join(', ')}.`,
      offers: [...elsewhere, { text: 'Clear the filter', query: { ...query, texts: {}, tags: [] } }],
      enqueue: false,
    };
  if (states === 'live')
    return { text: 'No live tasks.', offers: [{ text: 'Show ended tasks', query: { ...query, states: 'ended' } }], enqueue: true };
  return { text: `No ${what}. Ended tasks are listed while they are retained.`, offers: elsewhere, enqueue: states === 'all' };
}

function orList(states: readonly string[]): string {
  return states.length < 2 ? (states[0] ?? '') : `${states.slice(0, -1).join(', ')} or ${states.at(-1)}`;
}
