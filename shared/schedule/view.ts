import type { Pause } from '../queue/pause.js';
import { pauseToJson } from '../queue/queue-view.js';
import type { OverlapPolicy, ScheduleTiming } from './schedule.js';

/** The public view of a schedule, without its input. */
export interface ScheduleView extends ScheduleTiming {
  readonly id: string;
  /** The tasks' name. Null, like the queue, if the record is unreadable: see `problem`. */
  readonly name: string | null;
  readonly queue: string | null;
  readonly item: string | null;
  readonly overlap: OverlapPolicy;
  /** Whether the schedule is built in: it can be run now, but neither changed nor removed. */
  readonly builtIn: boolean;
  /** Due time of the next task, before jitter. Null if there is none: the workers repair that within a minute. */
  readonly nextAt: Date | null;
  /** Id of the last started task; null before the first. */
  readonly lastTask: string | null;
  /** Whether that task is still live. */
  readonly running: boolean;
  /** The pause of its queue, during which its tasks do not start; null for a queue that runs. */
  readonly paused: Pause | null;
  /** Why the record is unreadable; null if it is readable. */
  readonly problem: string | null;
}

/** Returns the view of a schedule with an unreadable record. */
export function unreadableSchedule(id: string, problem: string): ScheduleView {
  return {
    ...{ id, name: null, queue: null, item: null, everyMs: null, cron: null, timeZone: null, jitterMs: 0, overlap: 'skip' },
    ...{ builtIn: false, nextAt: null, lastTask: null, running: false, paused: null, problem },
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
    paused: schedule.paused && pauseToJson(schedule.paused),
    problem: schedule.problem,
  };
}
