import { isTime } from '../hash-reader.js';
import type { RecordedStop } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from './record.js';

/** What became of a stop in the first moment. */
export type StopAnswer =
  /** It is over: it was waiting, its owner was dead, or it had been stopped before. */
  | { readonly kind: 'cancelled'; readonly stop: StopRecord; readonly settledAt: Date; readonly queue: string }
  /** The stop is recorded and holds; whoever has the task will settle it. */
  | { readonly kind: 'recorded'; readonly stop: StopRecord; readonly queue: string }
  | { readonly kind: 'ended'; readonly as: 'completed' | 'failed' }
  /** Another program has it, and was told; `goneAt`: when its entry was seen to have left the registry. */
  | { readonly kind: 'foreign'; readonly goneAt: Date | null }
  | { readonly kind: 'not_found' };

/** Where what the answers say is written: queues, and null for the registry, where a stop is that came before its job. */
export function queuesOf(answers: ReadonlyMap<string, StopAnswer>): (string | null)[] {
  return [null, ...new Set([...answers.values()].flatMap((answer) => ('queue' in answer ? [answer.queue] : [])))];
}

/** The answer to what the script found; for jobs that it took, before they are settled. */
export function answerOf(queue: string, [what, stop, , finishedOn, via]: RecordedStop): StopAnswer {
  switch (what) {
    case 'missing':
    case 'unreadable':
    case 'ignored':
      return { kind: 'not_found' };
    case 'completed':
      return { kind: 'ended', as: 'completed' };
    case 'failed': {
      const record = parseStop(stop, via);
      if (record === null) return { kind: 'ended', as: 'failed' };
      // A worker that knows nothing of stops failed it by its deferred failure, without running it.
      return {
        kind: 'cancelled',
        stop: { ...record, via: record.via ?? 'queue' },
        settledAt: new Date(isTime(Number(finishedOn)) ? Number(finishedOn) : 0),
        queue,
      };
    }
    case 'active':
    case 'left':
    case 'taken':
    case 'fenced':
      return { kind: 'recorded', stop: parseStop(stop, null) as StopRecord, queue };
    default:
      throw new Error(`recordStop answered ${String(what satisfies never)}`);
  }
}
