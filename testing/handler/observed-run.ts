import type { AbortCause } from '../../shared/stop/cause.js';
import { Run } from '../../worker/run/run.js';

/** A run that notes when it was aborted, and whether its handler looked at the signal. */
export class ObservedRun extends Run {
  /** By performance.now; null before the first abort. */
  abortedAt: number | null = null;
  signalWasRead = false;

  override get signal(): AbortSignal {
    this.signalWasRead = true;
    return super.signal;
  }

  override abort(cause: AbortCause): void {
    if (!this.ended) this.abortedAt ??= performance.now();
    super.abort(cause);
  }
}
