import type { ReconcileRecord } from '../../shared/records/reconcile.js';
import { formatAge, formatAgo } from '../age.js';
import { type Check, ok, warn } from './check.js';

/** Six times the default of RECONCILE_INTERVAL_MS, for workers may have another one than the doctor. */
const OVERDUE_MS = 60_000;
const NAME = 'reconciler';

/** `oldestWorkerMs` is for how long the oldest of the alive workers has been up, in ms; null if none is alive. */
export function checkReconciler(last: ReconcileRecord | null, oldestWorkerMs: number | null, now: number): Check {
  if (last === null) {
    if (oldestWorkerMs === null || oldestWorkerMs <= OVERDUE_MS) return ok(NAME, 'has not run yet');
    const advice =
      'Workers run it by turns, every RECONCILE_INTERVAL_MS. Look at their logs, and whether they are of a version that has it.';
    return warn(NAME, `never ran, and workers have been up for ${formatAge(oldestWorkerMs)}`, advice);
  }
  const { at, removed, registered, settled } = last;
  const did = Object.entries({ removed, registered, settled }).flatMap(([what, count]) => (count === null ? [] : [`${what} ${count}`]));
  const message = `last run ${formatAgo(now - at)}${did.length === 0 ? '' : `: ${did.join(', ')}`}`;
  if (oldestWorkerMs === null || now - at <= OVERDUE_MS) return ok(NAME, message);
  return warn(
    NAME,
    message,
    "What a dead process left behind stays listed until it runs again. Look at the workers' logs, and at their RECONCILE_INTERVAL_MS.",
  );
}
