import { z } from 'zod';
import { isName } from '../keys.js';
import { MAINTENANCE_QUEUE } from '../task/builtin/maintenance-queue.js';
import type { RetryPolicy, TaskDefinition } from '../task/definition.js';

/** What becomes of a run that is due while the one before is still going. */
export const OVERLAP_POLICIES = ['skip', 'queue'] as const;
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number];

/** When a schedule's tasks are due. One of `everyMs` and `cron` is not null. */
export interface ScheduleTiming {
  readonly everyMs: number | null;
  /** Five fields, or six with seconds in front. */
  readonly cron: string | null;
  /** Of `cron`, as the IANA names it; null without one. */
  readonly timeZone: string | null;
  /** Each task starts up to so much later, at random. */
  readonly jitterMs: number;
}

/**
 * What a schedule keeps of its task's definition: enough to make jobs of it without the code that defined it. No shards:
 * all of its tasks are on the first, where each looks for the others.
 */
export type ScheduledDefinition = Pick<TaskDefinition, 'name' | 'queue' | 'retry' | 'retention' | 'deadlineMs'>;

/** A task that the fleet enqueues by itself, again and again. */
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

/** Our mark on the jobs of a schedule, in their options. */
export interface ScheduleMark {
  readonly id: string;
  readonly overlap: OverlapPolicy;
  readonly jitterMs: number;
  /** Somebody has brought the task back: when it was due no longer counts. */
  readonly retried?: true;
}

const AT_START = 'at-start.';
const AT_START_ONCE_MS = 10_000;

/** Whether a task is one that a schedule added, by its id. */
export function isScheduledRun(id: string): boolean {
  return id.startsWith('repeat:');
}

/** The id of a task that a schedule adds when workers start: the same for those that start in one period of 10 s. */
export function atStartId(schedule: string, now: number): string {
  return `${AT_START}${schedule}.${Math.floor(now / AT_START_ONCE_MS)}`;
}

/** Whether a task is one of what the fleet does when it starts, by its queue and id. */
export function isAtStart(queue: string, id: string): boolean {
  return queue === MAINTENANCE_QUEUE && id.startsWith(AT_START);
}

/** When a task that a schedule added was due, in ms since the epoch. */
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
    // Checked when it was defined; a newer version may know more of it than this one.
    retry: z.custom<RetryPolicy>((value) => typeof value === 'object' && value !== null),
    retention: z.object({ completed: retention, failed: retention }),
    deadlineMs: whole.nullable(),
  }),
});

/** As it is stored under its id in `p:schedules`. */
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

/** Null for what is no schedule. */
export function parseSchedule(id: string, text: string): Schedule | null {
  if (!isName(id)) return null;
  try {
    const { every_ms: everyMs, time_zone: timeZone, jitter_ms: jitterMs, ...rest } = storedSchedule.parse(JSON.parse(text));
    return { id, everyMs, timeZone, jitterMs, ...rest };
  } catch {
    return null;
  }
}
