import { type TaskState, isTerminal } from '../task/state.js';

/** The state of a task, or a change to it. */
interface StateSeen {
  readonly state: TaskState;
  readonly attempt: number | null;
}

/** An event of a task, as the fleet or as the API's JSON has it. */
type EventSeen =
  | { readonly type: 'chunk' | 'progress' }
  | (StateSeen & {
      readonly type: 'state';
      /** Null for a change that is not in the task's stream. */
      readonly id: string | null;
    });

/**
 * Filters the state changes shown to a follower of a task, from two sources: the task's stream, and reads of the task, for changes
 * without output. Some events are late: the worker of a failed attempt writes `retrying` when the next attempt may already run
 * elsewhere. An attempt's `running` is never late, since it is written with the attempt's first output. So each attempt is seen to
 * begin before its output, and late events of earlier attempts are dropped.
 */
export class StateChanges {
  #state: TaskState | null = null;
  /** Number of the last attempt seen to begin; null if unknown. */
  #attempt: number | null = null;
  /** Whether there was output since the last state change. */
  #hadOutput = false;

  /** Takes the next event and returns whether to show it. A final state never is: it may be that of an earlier run. */
  isNews(event: EventSeen): boolean {
    if (event.type !== 'state') {
      this.#hadOutput = true;
      return true;
    }
    const attempt = attemptOf(event);
    if (isTerminal(event.state)) return false;
    if (event.state === 'retrying' && this.#compare(attempt) < 0) return false;
    // In the stream, `running` after output is a new run, even of the same attempt: the worker died, or requeued the task.
    const isNewRun = event.id !== null && event.state === 'running' && this.#hadOutput;
    if (this.knows(event) && !isNewRun) return false;
    this.#note(event.state, attempt);
    return true;
  }

  /** Whether this state was already shown. */
  knows(now: StateSeen): boolean {
    return now.state === this.#state && this.#compare(attemptOf(now)) === 0;
  }

  /** Takes the state of a task that was read and returns whether to show it. */
  isChange(task: StateSeen): boolean {
    if (this.knows(task)) return false;
    this.#note(task.state, attemptOf(task));
    return true;
  }

  /** Negative for an attempt before the known one; 0 for the same, or if either is unknown. */
  #compare(attempt: number | null): number {
    return attempt === null || this.#attempt === null ? 0 : attempt - this.#attempt;
  }

  #note(state: TaskState, attempt: number | null): void {
    this.#state = state;
    // The attempts of a retried task count from 1 again.
    if (attempt !== null || state === 'queued' || state === 'running') this.#attempt = attempt;
    this.#hadOutput = false;
  }
}

function attemptOf({ state, attempt }: StateSeen): number | null {
  return state === 'running' || state === 'retrying' ? attempt : null;
}
