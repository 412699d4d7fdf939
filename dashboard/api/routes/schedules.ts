import { z } from 'zod';
import { OVERLAP_POLICIES, type Producer, type ScheduleView, scheduleToJson } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import { type Principal, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { time } from '../schemas/fields.js';
import { enqueued } from '../schemas/task.js';

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
    problem: z.string().nullable().meta({ description: 'Why the record is unreadable; null if readable.' }),
  })
  .meta({ id: 'Schedule' });

export type Schedule = z.output<typeof schedule>;

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
    body: { schedules: (await visible(api.producer, principal)).map(scheduleToJson) },
  }),
});

const run = defineRoute({
  method: 'post',
  path: '/schedules/{id}/run',
  role: 'operator',
  operation: 'runSchedule',
  summary: 'Enqueue a task of a schedule now',
  description: 'In addition to its scheduled times. The overlap policy applies.',
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
