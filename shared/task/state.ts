/**
 * The states of a task. `completed`, `failed` and `cancelled` are terminal: only an explicit retry leaves them.
 * - `scheduled`: delayed. `queued`: waiting for a free slot. `waiting`: waiting for its children in a BullMQ flow. `running`: a
 *   handler is running.
 * - `retrying`: an attempt failed and the next is pending. `stopping`: a stop is recorded and not yet settled.
 * - `unreadable`: its record in Redis is malformed, so its state is unknown. `taskfleet doctor` says how to repair it.
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

/** The BullMQ list of a job. */
export type JobPlace = 'completed' | 'failed' | 'delayed' | 'active' | 'waiting' | 'prioritized' | 'waiting-children';

/** Derives a task's state from its job's place, its stop, and the number of failed attempts. */
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
