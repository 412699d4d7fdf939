/**
 * Why a handler's signal was aborted. The cause, never a message text, decides the task's outcome:
 * `StopRequested` → cancelled; `TimedOut` → failed; `ShuttingDown` → back to the queue; `LockLost` → the result is dropped.
 */
export abstract class AbortCause extends Error {
  abstract readonly kind: 'stop' | 'timeout' | 'shutdown' | 'lock-lost';
}

/** A stop of the task was requested. */
export class StopRequested extends AbortCause {
  readonly kind = 'stop';
  override readonly name = 'StopRequested';

  constructor(
    readonly reason: string | null = null,
    readonly by: string | null = null,
  ) {
    super(describeStop(reason, by));
  }
}

/** The attempt ran longer than its definition allows. */
export class TimedOut extends AbortCause {
  readonly kind = 'timeout';
  override readonly name = 'TimedOut';

  constructor(readonly timeoutMs: number) {
    super(`Timed out after ${timeoutMs} ms`);
  }
}

/** The worker is shutting down; the task is requeued and this attempt does not count. */
export class ShuttingDown extends AbortCause {
  readonly kind = 'shutdown';
  override readonly name = 'ShuttingDown';

  constructor() {
    super('The worker is shutting down');
  }
}

/** The worker no longer owns the task: it stalled, and another worker will run it. */
export class LockLost extends AbortCause {
  readonly kind = 'lock-lost';
  override readonly name = 'LockLost';

  constructor() {
    super('The lock on the task was lost');
  }
}

/** Describes a stop, for the task's error: `Stopped by alice: too slow`. */
export function describeStop(reason: string | null, by: string | null): string {
  return `Stopped${by === null ? '' : ` by ${by}`}${reason === null ? '' : `: ${reason}`}`;
}
