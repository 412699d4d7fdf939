import { formatLong } from '../../../shared/time.js';
import type { LongRun } from '../running.js';
import { type Attention, taskLink, tasksLink } from './attention.js';

/** The usual times of a task name, in ms; null if too few tasks of it ended lately. */
export interface UsualTimes {
  readonly runP95Ms: number | null;
  readonly waitP95Ms: number | null;
}

export interface TaskFacts {
  readonly longRuns: readonly LongRun[];
  readonly usual: ReadonlyMap<string, UsualTimes>;
  /** Returns the time limit of a task name in ms; null for none, or if its definition is unknown here. */
  readonly timeoutOf: (name: string) => number | null;
}

/** A stop settles within the handler's grace period, 5 s by default. */
const SLOW_STOP_MS = 15_000;
/** A run beyond its time limit by this much has not been ended by its worker. */
const OVER_LIMIT_MS = 30_000;
const MIN_SLOW_MS = 60_000;
const SLOW_FACTOR = 4;
/** For a name without a usual time. */
const DEFAULT_SLOW_MS = 3_600_000;

/** Reports tasks that run far longer than usual or than their time limit, and stops that do not settle; one item for each name. */
export function taskAttention({ longRuns, usual, timeoutOf }: TaskFacts): Attention[] {
  const stops = longRuns.filter(({ stoppingMs }) => stoppingMs !== null && stoppingMs > SLOW_STOP_MS);
  const runs = longRuns.filter(({ stoppingMs }) => stoppingMs === null);
  const late = runs.filter(({ name, runMs }) => isOver(runMs, timeoutOf(name)));
  const slow = runs.filter(({ name, runMs }) => !isOver(runMs, timeoutOf(name)) && runMs > slowAfter(usual.get(name)?.runP95Ms ?? null));
  return [
    ...byName(stops, (of) => {
      const longest = Math.max(...of.map(({ stoppingMs }) => stoppingMs ?? 0));
      return {
        level: 'critical',
        kind: 'slow_stop',
        text: `${subject(of, 'has', 'have')} not ended since a stop ${formatLong(longest)} ago`,
        state: 'stopping',
      };
    }),
    ...byName(late, (of, name) => ({
      level: 'critical',
      kind: 'slow_task',
      text: `${running(of)}, beyond ${of.length === 1 ? 'its' : 'their'} time limit of ${formatLong(timeoutOf(name) ?? 0)}`,
      state: 'running',
    })),
    ...byName(slow, (of, name) => ({
      level: 'warning',
      kind: 'slow_task',
      text: `${running(of)}${usually(usual.get(name)?.runP95Ms ?? null)}`,
      state: 'running',
    })),
  ];
}

function isOver(runMs: number, timeoutMs: number | null): boolean {
  return timeoutMs !== null && runMs > timeoutMs + OVER_LIMIT_MS;
}

function slowAfter(usualMs: number | null): number {
  return usualMs === null ? DEFAULT_SLOW_MS : Math.max(MIN_SLOW_MS, SLOW_FACTOR * usualMs);
}

function byName(
  runs: readonly LongRun[],
  describe: (of: readonly LongRun[], name: string) => Pick<Attention, 'level' | 'kind' | 'text'> & { readonly state: string },
): Attention[] {
  return [...new Set(runs.map(({ name }) => name))].map((name) => {
    const of = runs.filter((run) => run.name === name);
    const { state, ...item } = describe(of, name);
    const [only] = of.length === 1 ? of : [];
    return { ...item, link: only ? taskLink(only.id) : tasksLink({ state, name, order: 'oldest' }) };
  });
}

function subject(of: readonly LongRun[], verb: string, verbs: string): string {
  const name = of[0]?.name ?? '';
  return of.length === 1 ? `A task of ${name} ${verb}` : `${of.length} tasks of ${name} ${verbs}`;
}

function running(of: readonly LongRun[]): string {
  const longest = formatLong(Math.max(...of.map(({ runMs }) => runMs)));
  return `${subject(of, 'has', 'have')} been running for ${of.length === 1 ? longest : `up to ${longest}`}`;
}

function usually(ms: number | null): string {
  return ms === null ? '' : `; 95 % of them end within ${ms < 1_000 ? `${Math.round(ms)} ms` : formatLong(ms)}`;
}
