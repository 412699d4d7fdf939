import { getNextMillis } from 'bullmq';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/**
 * What is wrong with the next run of a schedule: there is no scheduler, the scheduler has no next job that could be fetched, its next job
 * is in none of its queue's lists, or it is due further off than one period.
 */
export type NextRunFault = 'absent' | 'gone' | 'lost' | 'far';

/** A scheduler as it is in Redis. */
export interface NextRun {
  /** In ms since the epoch; null without a scheduler. */
  readonly due: number | null;
  /** The options of its jobs as JSON, `''` for none. */
  readonly options: string;
  /** The due time of a run that was fetched or stopped before it, in ms since the epoch; null if none was. */
  readonly passed: number | null;
  readonly fault: NextRunFault | null;
}

/** Between two times of Redis that a client has read and computed, and what a script has. */
const TOLERANCE_MS = 2_000;

/** The next run of each of a queue's schedules, in one round trip. */
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

/** Whether a next run is due after the one that should come after `from`. What nobody can tell is not. */
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
