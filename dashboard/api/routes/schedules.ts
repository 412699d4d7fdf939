import { z } from 'zod';
import { OVERLAP_POLICIES, type Producer, type ScheduleView, scheduleToJson } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import { shortened } from '../../../shared/limits.js';
import type { Store } from '../../../shared/store.js';
import { type Principal, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { time } from '../schemas/fields.js';
import { enqueued, taskState } from '../schemas/task.js';

const schedule = z
  .strictObject({
    id: z.string(),
    name: z.string().nullable().meta({ description: 'Task name. Null, like the queue, for a schedule with an unreadable record.' }),
    queue: z.string().nullable(),
    item: z.string().nullable(),
    every_ms: z.number().nullable(),
    cron: z.string().nullable(),
    time_zone: z.string().nullable(),
    jitter_ms: z.number(),
    overlap: z.enum(OVERLAP_POLICIES),
    built_in: z.boolean().meta({ description: 'Built-in schedules can be run now, but not changed or removed.' }),
    next_at: time.nullable(),
    last_task: z.string().nullable(),
    running: z.boolean(),
    paused: z
      .strictObject({ by: z.string().nullable(), at: time.nullable(), reason: z.string().nullable() })
      .nullable()
      .meta({ description: 'The pause of its queue, during which its tasks do not start; nulls if another client of BullMQ paused it.' }),
    last: z
      .strictObject({
        state: taskState,
        started_at: time.nullable(),
        finished_at: time.nullable(),
        error: z.string().nullable(),
      })
      .nullable()
      .meta({ description: 'How the last task stands, or ended; null if there is none, or if its retention has passed.' }),
    problem: z.string().nullable().meta({ description: 'Why the record is unreadable; null if readable.' }),
  })
  .meta({ id: 'Schedule' });

export type Schedule = z.output<typeof schedule>;

/** The rest of a long error is on the page of the task. */
const LONGEST_ERROR = 300;

const byId = z.strictObject({ id: z.string().min(1).max(64) });

const list = defineRoute({
  method: 'get',
  path: '/schedules',
  role: 'viewer',
  operation: 'listSchedules',
  summary: 'List the schedules',
  replies: {
    200: { about: 'Schedules, sorted by id.', schema: z.strictObject({ schedules: z.array(schedule) }).meta({ id: 'Schedules' }) },
  },
  handle: async ({ api, principal }) => ({
    status: 200,
    body: { schedules: await withLastTasks(api.store, await visible(api.producer, principal)) },
  }),
});

const run = defineRoute({
  method: 'post',
  path: '/schedules/{id}/run',
  role: 'operator',
  operation: 'runSchedule',
  summary: 'Enqueue a task of a schedule now',
  description: 'In addition to its scheduled times. Never skipped: it waits while another task of the schedule is live.',
  params: byId,
  body: z.strictObject({}),
  replies: { 202: { about: 'Enqueued.', schema: enqueued, headers: { Location: 'URL of the task.' } } },
  errors: ['SCHEDULE_NOT_FOUND', 'NOT_REPLICATED'],
  audit: ({ params }) => ({ action: 'schedule.run', target: params.id }),
  handle: async ({ api, principal, params: { id }, req }) => {
    await find(api.producer, principal, id);
    const { id: task, name, queue, item, duplicate, superseded } = await api.producer.schedules.runNow(id);
    return {
      status: 202,
      headers: { Location: `${req.baseUrl}/tasks/${encodeURIComponent(task)}` },
      body: { id: task, name, queue, item, duplicate, superseded },
      outcome: task,
    };
  },
});

const remove = defineRoute({
  method: 'delete',
  path: '/schedules/{id}',
  role: 'operator',
  operation: 'removeSchedule',
  summary: 'Remove a schedule and its next task',
  description: 'A running task continues. Built-in schedules cannot be removed.',
  params: byId,
  replies: { 204: { about: 'Removed.', schema: null } },
  errors: ['SCHEDULE_NOT_FOUND', 'INVALID_ID'],
  audit: ({ params }) => ({ action: 'schedule.remove', target: params.id }),
  handle: async ({ api, principal, params: { id } }) => {
    await find(api.producer, principal, id);
    if (!(await api.producer.schedules.remove(id))) throw notFound(id);
    return { status: 204, outcome: 'removed' };
  },
});

async function withLastTasks({ reader }: Store, schedules: readonly ScheduleView[]): Promise<Record<string, unknown>[]> {
  const tasks = await reader.read(schedules.flatMap(({ lastTask }) => lastTask ?? []));
  return schedules.map((one) => {
    const task = tasks.get(one.lastTask ?? '');
    const last = task && {
      state: task.state,
      started_at: task.startedAt?.toISOString() ?? null,
      finished_at: task.finishedAt?.toISOString() ?? null,
      error: task.error === null ? null : shortened(task.error, LONGEST_ERROR),
    };
    return { ...scheduleToJson(one), last: last ?? null };
  });
}

async function visible(producer: Producer, principal: Principal): Promise<ScheduleView[]> {
  return (await producer.schedules.list()).filter(({ item }) => seesItem(principal, item));
}

async function find(producer: Producer, principal: Principal, id: string): Promise<ScheduleView> {
  const found = (await visible(producer, principal)).find((one) => one.id === id);
  if (found) return found;
  throw notFound(id);
}

function notFound(id: string): FleetError {
  return new FleetError('SCHEDULE_NOT_FOUND', `No schedule ${quote(id)}.`, { details: { id } });
}

export const scheduleRoutes: readonly Route[] = [list, run, remove];
