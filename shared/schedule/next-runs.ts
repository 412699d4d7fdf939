import { getNextMillis } from 'bullmq';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/**
 * What is wrong with a schedule's next run: the scheduler is missing (`absent`), its next job does not exist or has ended (`gone`), the job
 * is in no list of its queue (`lost`), or it is due later than one period from now (`far`).
 */
export type NextRunFault = 'absent' | 'gone' | 'lost' | 'far';

/** The state of a scheduler in Redis. */
export interface NextRun {
  /** In ms since the epoch; null without a scheduler. */
  readonly due: number | null;
  /** Options of its jobs as JSON, `''` for none. */
  readonly options: string;
  /** The due time of a run that was fetched or stopped early, in ms since the epoch; null if there is none. */
  readonly passed: number | null;
  readonly fault: NextRunFault | null;
}

/** Tolerated difference between a time computed by a client and one from a script. */
const TOLERANCE_MS = 2_000;

/** Reads the next run of each schedule of a queue, in one round trip. */
export async function readNextRuns(
  redis: ScriptedRedis,
  keys: Keys,
  queue: string,
  ids: readonly string[],
  now: number,
): Promise<NextRun[]> {
  if (ids.length === 0) return [];
  const jobs = keys.jobs(queue);
  const names = ['repeat', 'delayed', 'wait', 'prioritized', 'active', 'completed', 'failed', 'paused'].map((name) => jobs + name);
  const rows = await redis.nextRuns(...names, jobs, ...ids);
  return rows.map(([due, options, every, pattern, tz, passed, place]) => {
    const next = numberOf(due);
    const run = { due: next, options, passed: numberOf(passed) };
    if (next === null) return { ...run, fault: 'absent' as const };
    if (place !== 'pending') return { ...run, fault: place === 'lost' ? ('lost' as const) : ('gone' as const) };
    return {
      ...run,
      fault: isFar(next, Math.max(now, run.passed ?? 0), { every: numberOf(every), pattern, tz }) ? ('far' as const) : null,
    };
  });
}

/** Whether a run is due later than the first one after `from`. False if that cannot be computed. */
function isFar(due: number, from: number, { every, pattern, tz }: { every: number | null; pattern: string; tz: string }): boolean {
  if (every !== null) return due > from + every + TOLERANCE_MS;
  try {
    const next = pattern === '' ? undefined : getNextMillis(from, { pattern, ...(tz !== '' && { tz }) });
    return next !== undefined && due > next + TOLERANCE_MS;
  } catch {
    return false;
  }
}

function numberOf(text: string): number | null {
  const number = text === '' ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : null;
}
