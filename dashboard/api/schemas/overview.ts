import { z } from 'zod';
import { ATTENTION_KINDS } from '../../overview/attention/attention.js';
import { RANGE_NAMES } from '../../overview/history.js';
import { time } from './fields.js';

const tasks = z.int().min(0);
/** Null without a value. */
const ms = z.number().min(0).nullable();

const figures = {
  completed: tasks,
  failed: tasks,
  cancelled: tasks,
  skipped: tasks,
  per_minute: z.number().min(0).nullable().meta({ description: 'Finished tasks per minute; null for a slot that has just begun.' }),
  run_p50_ms: ms,
  run_p95_ms: ms,
  wait_p50_ms: ms,
  wait_p95_ms: ms,
  stop_p50_ms: ms,
  stop_p95_ms: ms,
};

const counts = {
  queued: tasks,
  in_line: tasks,
  scheduled: tasks,
  waiting: tasks,
  running: tasks,
  completed: tasks,
  failed: tasks,
  cancelled: tasks,
};

export const overview = z
  .strictObject({
    at: time.meta({ description: 'Time of the reading; callers share it for three seconds.' }),
    states: z
      .strictObject(counts)
      .meta({ description: "Tasks by state on all queues but the fleet's own; ended ones as far as they are kept." }),
    queues: z.array(z.strictObject({ name: z.string(), paused: z.boolean(), ...counts, oldest_wait_ms: ms })),
    oldest_wait: z
      .strictObject({ queue: z.string(), task: z.string(), name: z.string().nullable(), ms: z.number().min(0) })
      .nullable()
      .meta({ description: 'The task that has been ready to run for longest; null if none waits.' }),
    last_hour: z.strictObject(figures),
    failures: z
      .array(
        z.strictObject({
          name: z.string(),
          failed: tasks.meta({ description: 'All that failed, also those retried or removed since.' }),
          kept: tasks.meta({ description: 'Those that are still failed.' }),
          sampled: tasks.meta({ description: 'The latest tasks whose errors were compared.' }),
          errors: z.array(
            z.strictObject({
              error: z.string().meta({ description: 'Its first line, with ids and numbers replaced by `N`.' }),
              count: tasks.meta({ description: 'Tasks of the sample that have it.' }),
              task: z.string().meta({ description: 'The latest of them.' }),
              example: z.string().meta({ description: 'The first line of its error.' }),
            }),
          ),
        }),
      )
      .meta({ description: 'Failures of the last hour by task name, most first, with the most common errors.' }),
    workers: z.strictObject({ alive: tasks, silent: tasks, drained: tasks, slots: tasks, busy: tasks }),
    stops: z
      .strictObject({ settled: tasks, p50_ms: ms, p95_ms: ms, open: tasks, oldest_open_ms: ms })
      .meta({ description: 'Stops settled in the last hour, and running tasks whose stop has not settled yet.' }),
    attention: z.array(
      z.strictObject({
        level: z.enum(['critical', 'warning']),
        kind: z.enum(ATTENTION_KINDS),
        text: z.string(),
        link: z.string().nullable().meta({ description: "The page that shows it, relative to the dashboard's mount point." }),
      }),
    ),
  })
  .meta({ id: 'Overview' });

export type OverviewBody = z.output<typeof overview>;

export const history = z
  .strictObject({
    range: z.enum(RANGE_NAMES),
    name: z.string().nullable(),
    step_s: z.int().min(1).meta({ description: 'Seconds from a point to the next.' }),
    names: z
      .array(z.strictObject({ name: z.string(), ...figures }))
      .meta({ description: 'By task name, most finished tasks first, at most 200.' }),
    total: z.strictObject(figures),
    points: z
      .array(z.strictObject({ at: time, ...figures }))
      .meta({ description: 'Oldest first; `at` is the start of each. The last one is incomplete.' }),
  })
  .meta({
    id: 'History',
    description:
      "Finished tasks, and the 50th and 95th percentiles of run time, wait and stop latency to within six percent; without the fleet's own " +
      'tasks. A process sends outcomes once a second and durations every 30 s.',
  });

export type HistoryBody = z.output<typeof history>;
