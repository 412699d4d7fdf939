/**
 * The states of a task. `completed`, `failed`, `cancelled` and `skipped` are terminal: only an explicit retry leaves them.
 * - `scheduled`: delayed. `queued`: waiting for a free slot, or for a limit. `waiting`: waiting for its children in a BullMQ flow. `running`: a
 *   handler is running.
 * - `retrying`: an attempt failed and the next is pending. `stopping`: a stop is recorded and not yet settled.
 * - `skipped`: a scheduled task that did not run, because it overlapped another task of its schedule.
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
  'skipped',
  'unreadable',
] as const;
export type TaskState = (typeof TASK_STATES)[number];
export const TERMINAL_STATES = ['completed', 'failed', 'cancelled', 'skipped'] as const satisfies readonly TaskState[];
export type TerminalState = (typeof TERMINAL_STATES)[number];

export function isTerminal(state: TaskState): state is TerminalState {
  return (TERMINAL_STATES as readonly TaskState[]).includes(state);
}

/** The BullMQ list of a job. */
export type JobPlace = 'completed' | 'failed' | 'delayed' | 'active' | 'waiting' | 'prioritized' | 'waiting-children';

interface JobFacts {
  readonly stopRequested: boolean;
  /** Whether the job waits in a line of the limiter. */
  readonly parked: boolean;
  /** Whether the job's field `skipped` is set. */
  readonly skipped: boolean;
  /** Number of failed attempts. */
  readonly attemptsMade: number;
}

/** Derives a task's state from its job's place and fields. */
export function taskState(place: JobPlace, { stopRequested, parked, skipped, attemptsMade }: JobFacts): TaskState {
  switch (place) {
    case 'completed':
      return skipped ? 'skipped' : 'completed';
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
      if (parked) return 'queued';
      if (attemptsMade > 0) return 'retrying';
      return place === 'delayed' ? 'scheduled' : 'queued';
  }
}

/** Returns a value for each terminal state. */
export function byTerminalState<Value>(create: (state: TerminalState) => Value): Readonly<Record<TerminalState, Value>> {
  return Object.fromEntries(TERMINAL_STATES.map((state) => [state, create(state)])) as Record<TerminalState, Value>;
}
