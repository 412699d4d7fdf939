import { HashReader } from './hash-reader.js';
import type { RecordSource } from './unreadable.js';

/** The reconciler's last finished run. A number is null if it is missing or unreadable. */
export interface ReconcileRecord {
  /** End of the run, in ms since the epoch. */
  readonly at: number;
  readonly tookMs: number | null;
  readonly removed: number | null;
  readonly registered: number | null;
  readonly settled: number | null;
}

/** Six times the default RECONCILE_INTERVAL_MS: the workers' setting is unknown to other processes. */
export const RECONCILE_OVERDUE_MS = 60_000;

/** Reads the reconciler's last run; null if none has finished yet, or if its time is unreadable. */
export async function readReconcile({ redis, keys, unreadable }: RecordSource): Promise<ReconcileRecord | null> {
  const key = keys.reconcile;
  const run = new HashReader(await unreadable.read(key, 'hash', redis.hgetall(key), {}));
  const at = run.ms('at');
  const counts = {
    tookMs: run.number('took_ms'),
    removed: run.whole('removed'),
    registered: run.whole('registered'),
    settled: run.whole('settled'),
  };
  if (run.problem !== null) unreadable.report({ key, problem: run.problem });
  return at === null ? null : { at, ...counts };
}
