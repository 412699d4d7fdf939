import type { TaskState } from '../parts/api-types.js';
import { ENDED_STATES, GROUPS, LIVE_STATES, type TaskQuery } from './query.js';

interface Count {
  readonly count: number;
  readonly complete: boolean;
}
/** The number of tasks in each state, of those that match the other conditions. */
export type StateCounts = Readonly<Partial<Record<TaskState, Count>>>;

/** A link of the states: one state, or a group. */
export type Choice = (typeof GROUPS)[number] | TaskState;

/** Formats a count: `1,204`, or `1,204+` if there may be more. */
export function numberText({ count, complete }: Count): string {
  return `${count.toLocaleString('en')}${complete ? '' : '+'}`;
}

/** Returns the number of tasks in these states. */
export function sumOf(choice: Choice | TaskQuery['states'], counts: StateCounts): Count {
  const found = statesIn(choice).flatMap((state) => counts[state] ?? []);
  return { count: found.reduce((sum, { count }) => sum + count, 0), complete: found.every(({ complete }) => complete) };
}

function statesIn(choice: Choice | readonly TaskState[]): readonly TaskState[] {
  if (typeof choice !== 'string') return choice;
  if (choice === 'all') return [...LIVE_STATES, ...ENDED_STATES];
  return choice === 'live' ? LIVE_STATES : choice === 'ended' ? ENDED_STATES : [choice];
}
