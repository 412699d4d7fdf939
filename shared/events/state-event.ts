import type { Attempt } from '../attempt/attempt.js';
import type { TaskView } from '../task/view.js';
import { type TaskWaiting, limitIn, withLimitIn } from '../task/wait/waiting.js';
import type { TaskStateEvent } from './event.js';

/** Returns the error of an attempt, and when the next one is due. */
export function failureOf({ error, retryAt }: Attempt): Pick<TaskStateEvent, 'error' | 'nextAttemptAt'> {
  return { ...(error && { error }), ...(retryAt && { nextAttemptAt: retryAt }) };
}

/** Returns the event of a task's current state. @param now the time of a change that the record does not have */
export function stateEventOf(task: TaskView, now: Date): TaskStateEvent {
  const { state, attempt, nextAttemptAt, waitingFor, skippedFor } = task;
  const last = task.attempts?.at(-1);
  const failure = last && (state === 'retrying' || state === 'failed') ? failureOf(last) : {};
  return {
    type: 'state',
    id: null,
    at: timeOf(task, last) ?? now,
    state,
    attempt: attempt || null,
    ...failure,
    ...(state === 'retrying' && nextAttemptAt && { nextAttemptAt }),
    // Followers share events: only a single view says whom the task waits for.
    ...(waitingFor && { waitingFor: anonymous(waitingFor) }),
    ...(state === 'skipped' && skippedFor !== null && { skippedFor }),
  };
}

function anonymous(waiting: TaskWaiting): TaskWaiting {
  const limit = limitIn(waiting);
  return limit ? withLimitIn(waiting, { ...limit, behind: null }) : waiting;
}

function timeOf({ state, enqueuedAt, startedAt, finishedAt, stop }: TaskView, last: Attempt | undefined): Date | null {
  switch (state) {
    case 'running':
      return startedAt;
    case 'scheduled':
    case 'queued':
    case 'waiting':
    case 'retrying':
      return last?.endedAt ?? (last ? null : enqueuedAt);
    case 'stopping':
      return stop?.at ?? null;
    default:
      return finishedAt;
  }
}
