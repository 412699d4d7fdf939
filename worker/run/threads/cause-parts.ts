import { type AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from '../../../shared/stop/cause.js';
import type { CauseParts } from './messages.js';

/** Serializes an abort cause for a thread: a structured clone of an Error loses its class. */
export function partsOf(cause: AbortCause): CauseParts {
  return {
    kind: cause.kind,
    reason: cause instanceof StopRequested ? cause.reason : null,
    by: cause instanceof StopRequested ? cause.by : null,
    timeoutMs: cause instanceof TimedOut ? cause.timeoutMs : 0,
  };
}

export function causeOf({ kind, reason, by, timeoutMs }: CauseParts): AbortCause {
  switch (kind) {
    case 'stop':
      return new StopRequested(reason, by);
    case 'timeout':
      return new TimedOut(timeoutMs);
    case 'shutdown':
      return new ShuttingDown();
    case 'lock-lost':
      return new LockLost();
  }
}
