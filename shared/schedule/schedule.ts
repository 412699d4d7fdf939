import { z } from 'zod';
import { isName } from '../keys.js';
import { type LimitMark, readMarks } from '../limiter/marks.js';
import type { TaskDefinition } from '../task/definition.js';
import { DEFAULT_RETENTION, type RetentionOptions, type RetryPolicy } from '../task/policies.js';
import { problemOfTags } from '../task/tags.js';

/** The queue of the fleet's own tasks. */
export const MAINTENANCE_QUEUE = 'maintenance';

/** The retention of the fleet's own tasks on demand. Scheduled ones that complete are not kept: see worker/schedule-planner.ts. */
export const MAINTENANCE_RETENTION: RetentionOptions = {
  completed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
  failed: { count: 1_000 },
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
  /** Empty for none. */
  readonly tags: readonly string[];
  readonly overlap: OverlapPolicy;
  /** The limits of its tasks; null for none. */
  readonly limits: readonly LimitMark[] | null;
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

/** Whether a person asked for a task of a schedule, by a retry or a run now: such a task is never skipped. */
export function isAskedFor({ retried }: ScheduleMark, queue: string, id: string): boolean {
  return retried === true || !(isScheduledRun(id) || isAtStart(queue, id));
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
  tags: z
    .unknown()
    .optional()
    .transform((tags) => (problemOfTags(tags) === null ? (tags as readonly string[]) : [])),
  data: z.string().refine((data) => JSON.parse(data) !== undefined),
  // A schedule stored by an older version has none. Its tasks must run even if they cannot be read.
  limits: z.unknown().optional().transform(readMarks),
  definition: z.object({
    name: z.string(),
    queue: z.string().refine(isName),
    // Checked when it was defined; a newer version may have more fields.
    retry: z.custom<RetryPolicy>((value) => typeof value === 'object' && value !== null),
    // A schedule stored by an older version has no limits for cancelled tasks.
    retention: z.object({ completed: retention, failed: retention, cancelled: retention.default(DEFAULT_RETENTION.cancelled) }),
    deadlineMs: whole.nullable(),
  }),
});

/** Formats a schedule for its field in `p:schedules`. */
export function formatSchedule({ everyMs, cron, timeZone, jitterMs, overlap, item, tags, data, limits, definition }: Schedule): string {
  const { name, queue, retry, retention: kept, deadlineMs } = definition;
  const stored: z.input<typeof storedSchedule> = {
    every_ms: everyMs,
    cron,
    time_zone: timeZone,
    jitter_ms: jitterMs,
    overlap,
    item,
    ...(tags.length > 0 && { tags }),
    data,
    ...(limits && { limits }),
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
