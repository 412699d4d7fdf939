/**
 * The states of a task. `completed`, `failed` and `cancelled` are terminal: reached once, never changed, unless someone explicitly retries.
 * - `scheduled`: waits for its delay. `queued`: waits for a free slot. `waiting`: waits for its children, the other jobs of a
 *   BullMQ flow. `running`: a handler is at work.
 * - `retrying`: an attempt failed, the next waits. `stopping`: a stop was requested and is not settled yet.
 * - `unreadable`: its record in Redis is not what it should be, so that nobody can say how it is. `taskfleet doctor` says what to do.
 */
export const TASK_STATES = [
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
] as const;
export type TaskState = (typeof TASK_STATES)[number];
export type TerminalState = 'completed' | 'failed' | 'cancelled';

export function isTerminal(state: TaskState): state is TerminalState {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

/** Where BullMQ has a job. */
export type JobPlace = 'completed' | 'failed' | 'delayed' | 'active' | 'waiting' | 'prioritized' | 'waiting-children';

/** A task's state from the place of its job, whether a stop was requested, and how many attempts have failed. */
export function taskState(place: JobPlace, stopRequested: boolean, attemptsMade: number): TaskState {
  switch (place) {
    case 'completed':
      return 'completed';
    case 'failed':
      return stopRequested ? 'cancelled' : 'failed';
    case 'active':
      return stopRequested ? 'stopping' : 'running';
    case 'waiting-children':
      return stopRequested ? 'stopping' : 'waiting';
    case 'delayed':
    case 'waiting':
    case 'prioritized':
      if (stopRequested) return 'stopping';
      if (attemptsMade > 0) return 'retrying';
      return place === 'delayed' ? 'scheduled' : 'queued';
  }
}
