import type { TaskEvent, TaskStateEvent } from './event-stream.js';
import { type TaskState, isTerminal } from './state.js';
import type { TaskView } from './view.js';

/**
 * What one who follows a task knows of its state, and so which changes of state are news. A change comes from two sides:
 * from the task's stream, and from reading the task, for what it does in silence. And some come late: `retrying` is written by
 * the worker that failed, when the next attempt may have begun elsewhere. The `running` of an attempt cannot be late: it is
 * written with the first words of the attempt. So each attempt is seen to begin before it speaks, and nothing of the one
 * before is said of it.
 */
export class StateChanges {
  #state: TaskState | null = null;
  /** Of the run that was last seen to begin; null if that is unknown. */
  #attempt: number | null = null;
  /** Whether there was output since the last change of state. */
  #spoken = false;

  /** Takes an event of a task, in order. Whether it is news; an end is not: the stream may have that of an earlier run. */
  isNews(event: TaskEvent): boolean {
    if (event.type !== 'state') {
      this.#spoken = true;
      return true;
    }
    const attempt = attemptOf(event);
    if (isTerminal(event.state)) return false;
    if (event.state === 'retrying' && this.#compare(attempt) < 0) return false;
    // In the stream a run after output is another run, even of the same attempt: its worker died, or handed it back.
    const another = event.id !== null && event.state === 'running' && this.#spoken;
    if (this.knows(event) && !another) return false;
    this.#note(event.state, attempt);
    return true;
  }

  /** Whether it is known that a task is so. */
  knows(now: TaskView | TaskStateEvent): boolean {
    return now.state === this.#state && this.#compare(attemptOf(now)) === 0;
  }

  /** The event that says how a task that was read is; null if that is known. */
  ofTask(task: TaskView): TaskStateEvent | null {
    if (this.knows(task)) return null;
    const attempt = attemptOf(task);
    this.#note(task.state, attempt);
    return { type: 'state', id: null, state: task.state, ...(attempt !== null && { attempt }) };
  }

  /** Below 0 for an attempt before the one that is known; 0 for that one, and if either is unknown. */
  #compare(attempt: number | null): number {
    return attempt === null || this.#attempt === null ? 0 : attempt - this.#attempt;
  }

  #note(state: TaskState, attempt: number | null): void {
    this.#state = state;
    // The attempts of a task that was brought back are counted anew.
    if (attempt !== null || state === 'queued' || state === 'running') this.#attempt = attempt;
    this.#spoken = false;
  }
}

function attemptOf({ state, attempt = null }: { readonly state: TaskState; readonly attempt?: number | null }): number | null {
  return state === 'running' || state === 'retrying' ? attempt : null;
}
