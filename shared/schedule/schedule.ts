import { z } from 'zod';
import { isName } from '../keys.js';
import type { RetentionPolicy, RetryPolicy, TaskDefinition } from '../task/definition.js';

/** The queue of the fleet's own tasks. */
export const MAINTENANCE_QUEUE = 'maintenance';

/**
 * The retention of tasks on demand, the same for all tasks of the queue: BullMQ applies each task's retention to the whole queue.
 * Scheduled tasks that complete are not kept: see worker/schedule-planner.ts.
 */
export const MAINTENANCE_RETENTION: RetentionPolicy = {
  completed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
  failed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
};

/** What to do with a run that is due while the previous one is still live. */
export const OVERLAP_POLICIES = ['skip', 'queue'] as const;
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/** When a schedule's tasks are due. Either `everyMs` or `cron` is set. */
export interface ScheduleTiming {
  readonly everyMs: number | null;
  /** Five fields, or six with seconds in front. */
  readonly cron: string | null;
  /** IANA time zone of `cron`; null for none. */
  readonly timeZone: string | null;
  /** Longest random delay of each task's start. */
  readonly jitterMs: number;
}

/**
 * The part of a task's definition that a schedule stores: enough to add jobs without the code. It has no shards: all of the
 * schedule's tasks are on the first one, so that they find each other.
 */
export type ScheduledDefinition = Pick<TaskDefinition, 'name' | 'queue' | 'retry' | 'retention' | 'deadlineMs'>;

/** A task that the fleet enqueues periodically. */
export interface Schedule extends ScheduleTiming {
  /** Unique in the fleet. The ids of its tasks are `repeat:<id>:<ms>`. */
  readonly id: string;
  readonly definition: ScheduledDefinition;
  /** The input as JSON. */
  readonly data: string;
  /** `''` for none. */
  readonly item: string;
  readonly overlap: OverlapPolicy;
}

/** Our mark in the options of scheduled jobs. */
export interface ScheduleMark {
  readonly id: string;
  readonly overlap: OverlapPolicy;
  readonly jitterMs: number;
  /** The task was retried, so its due time no longer counts. */
  readonly retried?: true;
}

const AT_START = 'at-start.';
const AT_START_ONCE_MS = 10_000;

/** Whether an id is that of a scheduled task. */
export function isScheduledRun(id: string): boolean {
  return id.startsWith('repeat:');
}

/** Returns the id of a schedule's task at worker start: the same for all workers that start in the same period of 10 s. */
export function atStartId(schedule: string, now: number): string {
  return `${AT_START}${schedule}.${Math.floor(now / AT_START_ONCE_MS)}`;
}

/** Whether a task was added at worker start, by its queue and id. */
export function isAtStart(queue: string, id: string): boolean {
  return queue === MAINTENANCE_QUEUE && id.startsWith(AT_START);
}

/** Returns the due time of a scheduled task, in ms since the epoch. */
export function dueTimeOf(id: string): number {
  return Number(id.slice(id.lastIndexOf(':') + 1));
}

const whole = z.int().min(0);
const retention = z.object({ ageMs: whole, count: whole });
const storedSchedule = z.object({
  every_ms: whole.nullable(),
  cron: z.string().nullable(),
  time_zone: z.string().nullable(),
  jitter_ms: whole,
  overlap: z.enum(OVERLAP_POLICIES),
  item: z.string(),
  data: z.string().refine((data) => JSON.parse(data) !== undefined),
  definition: z.object({
    name: z.string(),
    queue: z.string().refine(isName),
    // Checked when it was defined; a newer version may have more fields.
    retry: z.custom<RetryPolicy>((value) => typeof value === 'object' && value !== null),
    retention: z.object({ completed: retention, failed: retention }),
    deadlineMs: whole.nullable(),
  }),
});

/** Formats a schedule for its field in `p:schedules`. */
export function formatSchedule({ everyMs, cron, timeZone, jitterMs, overlap, item, data, definition }: Schedule): string {
  const { name, queue, retry, retention: kept, deadlineMs } = definition;
  const stored: z.input<typeof storedSchedule> = {
    every_ms: everyMs,
    cron,
    time_zone: timeZone,
    jitter_ms: jitterMs,
    overlap,
    item,
    data,
    definition: { name, queue, retry, retention: kept, deadlineMs },
  };
  return JSON.stringify(stored);
}

/** Parses a stored schedule; null if it is not valid. */
export function parseSchedule(id: string, text: string): Schedule | null {
  if (!isName(id)) return null;
  try {
    const { every_ms: everyMs, time_zone: timeZone, jitter_ms: jitterMs, ...rest } = storedSchedule.parse(JSON.parse(text));
    return { id, everyMs, timeZone, jitterMs, ...rest };
  } catch {
    return null;
  }
}
