import type { ReconcileRecord } from '../../shared/records/reconcile.js';
import { formatAge, formatAgo } from '../text/age.js';
import { type Check, ok, warn } from './check.js';

/** Six times the default RECONCILE_INTERVAL_MS, because the workers' value may differ from the doctor's. */
const OVERDUE_MS = 60_000;
const RECONCILER = 'reconciler';

/** @param oldestWorkerMs uptime of the oldest live worker in ms, null if none is alive */
export function checkReconciler(last: ReconcileRecord | null, oldestWorkerMs: number | null, now: number): Check {
  if (last === null) {
    if (oldestWorkerMs === null || oldestWorkerMs <= OVERDUE_MS) return ok(RECONCILER, 'has not run yet');
    const advice = 'Workers take turns to run it every RECONCILE_INTERVAL_MS. Check their logs, and that their version includes it.';
    return warn(RECONCILER, `never ran, and workers have been up for ${formatAge(oldestWorkerMs)}`, advice);
  }
  const { at, removed, registered, settled } = last;
  const did = Object.entries({ removed, registered, settled }).flatMap(([what, count]) => (count === null ? [] : [`${what} ${count}`]));
  const message = `last run ${formatAgo(now - at)}${did.length === 0 ? '' : `: ${did.join(', ')}`}`;
  if (oldestWorkerMs === null || now - at <= OVERDUE_MS) return ok(RECONCILER, message);
  return warn(
    RECONCILER,
    message,
    "Tasks of dead workers stay listed until it runs again. Check the workers' logs and RECONCILE_INTERVAL_MS.",
  );
}
