import { HashReader } from '../hash-reader.js';
import type { RecordSource } from '../unreadable.js';

/** The last finished run of the reconciler. A number is null if the run did not note it, or not in a way that can be read. */
export interface ReconcileRecord {
  /** When it ended, in ms since the epoch. */
  readonly at: number;
  readonly tookMs: number | null;
  readonly removed: number | null;
  readonly registered: number | null;
  readonly settled: number | null;
}

/** Null if no run has finished yet, or if nobody can say when. */
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
