import type { Task, Worker } from './api-types.js';
import { duration } from './wording.js';

/** The reason why a task needs attention. */
export interface Attention {
  readonly kind: 'unreadable' | 'stuck' | 'silent' | 'slow';
  readonly text: string;
}

export interface AttentionContext {
  /** The current time, in ms. */
  readonly now: number;
  /** Median run time per task name, see {@link typicalRuns}. */
  readonly typical: ReadonlyMap<string, number>;
  /** Workers without a recent heartbeat. */
  readonly silent: ReadonlySet<string>;
}

/** A stop settles within the handler's grace period, 5 s by default. */
const STUCK_STOP_MS = 10_000;
/** Shorter runs never count as slow. */
const MIN_SLOW_MS = 60_000;
const SLOW_FACTOR = 4;
/** The minimum sample for a median. */
const MIN_SAMPLE = 5;
/** The threshold for a task name without a median. */
const DEFAULT_SLOW_MS = 3_600_000;

/** Returns the most severe reason why a task needs attention, or null. */
export function attentionOf(task: Task, { now, typical, silent }: AttentionContext): Attention | null {
  const { state, stop, started_at: startedAt, worker, name, problem } = task;
  if (problem !== null) return { kind: 'unreadable', text: `unreadable: ${problem}` };
  if (state !== 'running' && state !== 'stopping') return null;
  const stopping = stop?.at ? now - Date.parse(stop.at) : 0;
  if (state === 'stopping' && stopping > STUCK_STOP_MS) return { kind: 'stuck', text: `stop not settled for ${duration(stopping)}` };
  if (worker !== null && silent.has(worker)) return { kind: 'silent', text: 'no heartbeat from its worker' };
  const runMs = startedAt === null ? 0 : now - Date.parse(startedAt);
  const usual = typical.get(name ?? '');
  if (usual === undefined) return runMs > DEFAULT_SLOW_MS ? { kind: 'slow', text: `running for ${duration(runMs)}` } : null;
  return runMs > Math.max(MIN_SLOW_MS, SLOW_FACTOR * usual)
    ? { kind: 'slow', text: `running for ${duration(runMs)}, typically ${duration(usual)}` }
    : null;
}

/** Returns the median run time so far of the running tasks of each name, in ms, where the sample is large sampled. */
export function typicalRuns(tasks: Iterable<Task>, now: number): Map<string, number> {
  const runs = new Map<string, number[]>();
  for (const { name, state, started_at: startedAt } of tasks) {
    if (name === null || startedAt === null || state !== 'running') continue;
    const times = runs.get(name) ?? [];
    times.push(now - Date.parse(startedAt));
    runs.set(name, times);
  }
  const sampled = [...runs].filter(([, times]) => times.length >= MIN_SAMPLE);
  return new Map(sampled.map(([name, times]) => [name, times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] as number]));
}

/** Three heartbeats at the default interval of 5 s. */
const SILENT_MS = 15_000;

/** Returns whether the worker has missed its heartbeats. */
export function isSilent({ alive, beat_at: beatAt }: Worker, now: number): boolean {
  return !alive || (beatAt !== null && now - Date.parse(beatAt) > SILENT_MS);
}
