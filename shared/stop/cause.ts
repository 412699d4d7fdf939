/**
 * Why a handler's signal was aborted. The cause, never a message text, decides what becomes of the task:
 * `StopRequested` → cancelled; `TimedOut` → failed; `ShuttingDown` → back to the queue; `LockLost` → the result is dropped.
 */
export abstract class AbortCause extends Error {
  abstract readonly kind: 'stop' | 'timeout' | 'shutdown' | 'lock-lost';
}

/** Somebody asked for the task to be stopped. */
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

/** The worker shuts down; the task goes back to the queue and this attempt does not count. */
export class ShuttingDown extends AbortCause {
  readonly kind = 'shutdown';
  override readonly name = 'ShuttingDown';

  constructor() {
    super('The worker is shutting down');
  }
}

/** The worker no longer owns the task: it stalled, and another worker has it or will. */
export class LockLost extends AbortCause {
  readonly kind = 'lock-lost';
  override readonly name = 'LockLost';

  constructor() {
    super('The lock on the task was lost');
  }
}

/** What a stopped task's error says: `Stopped by alice: too slow`. */
export function describeStop(reason: string | null, by: string | null): string {
  return `Stopped${by === null ? '' : ` by ${by}`}${reason === null ? '' : `: ${reason}`}`;
}
