import type { Problem } from './audit.js';
import type { HandlerLog } from './handler-log.js';
import type { History } from './history.js';

/** A process stopped with SIGSTOP, with times of `now`. */
export interface Freeze {
  readonly pid: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Returns whether a problem of the audit is a handler of a process that a freeze cut off from its task: the lock had expired, the task was
 * back in its queue, and the stop found it there. A frozen process cannot be told; after it wakes it runs, or starts a fetched task, until
 * it notices that its lock is gone. So the stop was settled during the freeze, or without the worker of a run from before the end of the
 * freeze. Running longer, or without a freeze, is a problem.
 * @param noticeMs how long a woken process may run before it notices
 */
export function isOfFrozen(
  { kind, id }: Problem,
  { history, log }: { readonly history: History; readonly log: HandlerLog },
  freezes: readonly Freeze[],
  noticeMs: number,
): boolean {
  if (kind !== 'began after its stop' && kind !== 'ran on after its stop') return false;
  const settled = history.receiptsOf(id).filter(({ receipt }) => receipt.outcome === 'cancelled');
  const settledAt = Math.min(...settled.map(({ answeredAt }) => answeredAt));
  const isElsewhere = settled.some(({ receipt }) => receipt.via === 'queue' || receipt.via === 'fence');
  const after = log.of(id).filter(({ lastAt, endedAt }) => Math.max(lastAt, endedAt ?? 0) > settledAt);
  return after.every((run) =>
    freezes.some(
      ({ pid, from, to }) =>
        pid === run.pid &&
        from <= settledAt &&
        (settledAt <= to || (isElsewhere && run.beganAt <= to)) &&
        Math.max(run.lastAt, run.endedAt ?? 0) <= to + noticeMs,
    ),
  );
}
