import { type Task, isTerminal } from '../parts/api-types.js';
import { type TaskQuery, statesOf } from './query.js';

/** A column of the list. */
export type ColumnName =
  | ('state' | 'task' | 'item' | 'progress' | 'waiting' | 'error' | 'reason' | 'overlapped' | 'next')
  | ('enqueued' | 'finished' | 'run' | 'queue' | 'worker' | 'attempt');

const LIVE: readonly ColumnName[] = ['state', 'task', 'item', 'progress', 'enqueued', 'run', 'worker', 'attempt'];
const ENDED: readonly ColumnName[] = ['state', 'task', 'item', 'progress', 'finished', 'run', 'worker', 'attempt'];
const ALL: readonly ColumnName[] = ['state', 'task', 'item', 'progress', 'enqueued', 'finished', 'run', 'worker'];
const BY_STATE: Partial<Readonly<Record<Task['state'], readonly ColumnName[]>>> = {
  running: ['state', 'task', 'item', 'progress', 'run', 'worker', 'attempt', 'enqueued'],
  queued: ['state', 'task', 'item', 'waiting', 'queue', 'attempt', 'enqueued'],
  retrying: ['state', 'task', 'item', 'error', 'next', 'attempt', 'worker', 'enqueued'],
  scheduled: ['state', 'task', 'item', 'next', 'queue', 'enqueued'],
  stopping: ['state', 'task', 'item', 'reason', 'run', 'worker', 'enqueued'],
  failed: ['state', 'task', 'item', 'error', 'finished', 'run', 'attempt', 'worker'],
  completed: ['state', 'task', 'item', 'finished', 'run', 'attempt', 'queue', 'worker'],
  cancelled: ['state', 'task', 'item', 'reason', 'finished', 'run', 'worker'],
  skipped: ['state', 'task', 'item', 'overlapped', 'finished', 'queue'],
};

/** Returns the names of the columns that suit the states of a query. */
export function columnNames(query: Pick<TaskQuery, 'states'>): readonly ColumnName[] {
  const states = statesOf(query);
  const only = states.length === 1 ? BY_STATE[states[0] as Task['state']] : undefined;
  return only ?? (states.every(isTerminal) ? ENDED : states.some(isTerminal) ? ALL : LIVE);
}

/** Returns the name of the column that the list is ordered by. */
export function sortColumn(query: Pick<TaskQuery, 'states'>): ColumnName {
  return statesOf(query).every(isTerminal) ? 'finished' : 'enqueued';
}
