import type { Task } from './api-types.js';
import { duration } from './wording.js';

/** Why somebody should look at a task. */
export interface Attention {
  readonly kind: 'unreadable' | 'stuck' | 'silent' | 'slow';
  readonly text: string;
}

export interface Surroundings {
  /** In ms. */
  readonly now: number;
  /** How long the running tasks of each name have run, see {@link typicalRuns}. */
  readonly typical: ReadonlyMap<string, number>;
  /** Workers whose heartbeat has stalled. */
  readonly silent: ReadonlySet<string>;
}

/** A stop settles within the grace of its handler, five seconds unless it is set otherwise. */
const STOP_TAKES_MS = 10_000;
/** Whatever the others do, shorter runs are not long. */
const SHORT_MS = 60_000;
const TIMES_TYPICAL = 4;
/** Fewer tasks of one name say nothing about what is usual. */
const ENOUGH = 5;
/** Long for a task of which nothing is known. */
const LONG_MS = 3_600_000;

/** What stands out about a task, the worst first; null for nothing. */
export function attentionOf(task: Task, { now, typical, silent }: Surroundings): Attention | null {
  const { state, stop, started_at: startedAt, worker, name, problem } = task;
  if (problem !== null) return { kind: 'unreadable', text: `cannot be read: ${problem}` };
  if (state !== 'running' && state !== 'stopping') return null;
  const stopping = stop?.at ? now - Date.parse(stop.at) : 0;
  if (state === 'stopping' && stopping > STOP_TAKES_MS) return { kind: 'stuck', text: `stop not settled for ${duration(stopping)}` };
  if (worker !== null && silent.has(worker)) return { kind: 'silent', text: 'its worker has fallen silent' };
  const ran = startedAt === null ? 0 : now - Date.parse(startedAt);
  const usual = typical.get(name ?? '');
  if (usual === undefined) return ran > LONG_MS ? { kind: 'slow', text: `runs for ${duration(ran)}` } : null;
  return ran > Math.max(SHORT_MS, TIMES_TYPICAL * usual)
    ? { kind: 'slow', text: `runs for ${duration(ran)}, others for ${duration(usual)}` }
    : null;
}

/** The median time for which the running tasks of a name have run, in ms, where there are enough of them. */
export function typicalRuns(tasks: Iterable<Task>, now: number): Map<string, number> {
  const runs = new Map<string, number[]>();
  for (const { name, state, started_at: startedAt } of tasks) {
    if (name === null || startedAt === null || state !== 'running') continue;
    const some = runs.get(name) ?? [];
    some.push(now - Date.parse(startedAt));
    runs.set(name, some);
  }
  const enough = [...runs].filter(([, times]) => times.length >= ENOUGH);
  return new Map(enough.map(([name, times]) => [name, times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] as number]));
}
