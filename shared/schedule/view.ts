import type { OverlapPolicy, ScheduleTiming } from './schedule.js';

/** A schedule as anybody may see it: without its input. */
export interface ScheduleView extends ScheduleTiming {
  readonly id: string;
  /** Of its tasks. Null, as the queue is, for a schedule whose record cannot be read: see `problem`. */
  readonly name: string | null;
  readonly queue: string | null;
  readonly item: string | null;
  readonly overlap: OverlapPolicy;
  /** Whether it is the fleet's own: it can be run now, and neither changed nor removed. */
  readonly builtIn: boolean;
  /** When its next task is due, before jitter. Null if it has none: the workers see to it within a minute. */
  readonly nextAt: Date | null;
  /** The id of its task that started last; null before the first. */
  readonly lastTask: string | null;
  /** Whether that one is still going. */
  readonly running: boolean;
  /** Why its record cannot be read; null for one that can. */
  readonly problem: string | null;
}

/** What there is to say of a schedule whose record cannot be read. */
export function unreadableSchedule(id: string, problem: string): ScheduleView {
  return {
    ...{ id, name: null, queue: null, item: null, everyMs: null, cron: null, timeZone: null, jitterMs: 0, overlap: 'skip' },
    ...{ builtIn: false, nextAt: null, lastTask: null, running: false, problem },
  };
}

/** A schedule as JSON for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function scheduleToJson(schedule: ScheduleView): Record<string, unknown> {
  return {
    id: schedule.id,
    name: schedule.name,
    queue: schedule.queue,
    item: schedule.item,
    every_ms: schedule.everyMs,
    cron: schedule.cron,
    time_zone: schedule.timeZone,
    jitter_ms: schedule.jitterMs,
    overlap: schedule.overlap,
    built_in: schedule.builtIn,
    next_at: schedule.nextAt?.toISOString() ?? null,
    last_task: schedule.lastTask,
    running: schedule.running,
    problem: schedule.problem,
  };
}
