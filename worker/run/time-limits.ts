import { UnrecoverableError } from 'bullmq';
import { TimedOut } from '../../shared/stop/cause.js';
import type { LoadedHandler } from '../task-modules.js';
import type { Run } from './run.js';

/** The time that an aborted handler has left. The shortest of several limits applies; `onOver` is called once, at its end. */
export class Grace {
  #endsAt = Infinity;
  #timer: NodeJS.Timeout | null = null;

  constructor(private readonly onOver: () => void) {}

  limit(ms: number): void {
    const endsAt = performance.now() + ms;
    if (endsAt >= this.#endsAt) return;
    this.#endsAt = endsAt;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(this.onOver, ms);
  }

  /** Stops the timer, for a handler that has ended. */
  cancel(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }
}

/** The error of a task whose deadline has passed. Final: a retry would be even later. */
export function deadlineMissed(deadline: number): UnrecoverableError {
  return new UnrecoverableError(`Not started before its deadline, ${new Date(deadline).toISOString()}`);
}

/** Starts the timeout of an attempt, which counts from the call of the handler. */
export function startTimeout(run: Run, { definition: { timeoutMs } }: LoadedHandler): NodeJS.Timeout | null {
  return timeoutMs === null ? null : setTimeout(() => run.abort(new TimedOut(timeoutMs)), timeoutMs);
}
