import { isTime } from '../records/hash-reader.js';
import type { RecordedStop } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from './record.js';

/** The first answer to a stop. */
export type StopAnswer =
  /** The task has ended: it was waiting, its owner was dead, or it had been stopped before. */
  | { readonly kind: 'cancelled'; readonly stop: StopRecord; readonly settledAt: Date; readonly queue: string }
  /** The stop is recorded; the task's owner will settle it. */
  | { readonly kind: 'recorded'; readonly stop: StopRecord; readonly queue: string }
  | { readonly kind: 'ended'; readonly as: 'completed' | 'failed' }
  /** Another program's task, and that program was told; `goneAt`: when its entry was first missing from the registry. */
  | { readonly kind: 'foreign'; readonly goneAt: Date | null }
  | { readonly kind: 'not_found' };

/** Returns the queues that the answers were written to, and null for the registry, which holds pending stops. */
export function queuesOf(answers: ReadonlyMap<string, StopAnswer>): (string | null)[] {
  return [null, ...new Set([...answers.values()].flatMap((answer) => ('queue' in answer ? [answer.queue] : [])))];
}

/** Turns the script's result into an answer; for jobs that it took, the answer before they are settled. */
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
      // Without `via`, a plain BullMQ worker applied the deferred failure, so the task never ran.
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
