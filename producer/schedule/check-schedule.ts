import { getNextMillis } from 'bullmq';
import { z } from 'zod';
import { FleetError, messageOf } from '../../shared/errors.js';
import { checkItem, isName, quote } from '../../shared/keys.js';
import { marksOf } from '../../shared/limiter/marks.js';
import { OVERLAP_POLICIES, type OverlapPolicy, type Schedule, type ScheduleTiming } from '../../shared/schedule/schedule.js';
import { type AnyDefinition, issuesOf } from '../../shared/task/definition.js';
import { checkInput } from '../../shared/task/payload/payload.js';
import { tagsOf } from '../../shared/task/tags.js';
import { BUILTIN_DEFINITIONS, MAINTENANCE_QUEUE } from '../../worker/builtin/definitions.js';

/** Options of a schedule. Exactly one of `every` and `cron` is required. */
export interface ScheduleOptions {
  /** Interval in ms, from 100 to ten years. The first task is due after one interval. */
  readonly every?: number | undefined;
  /** Cron expression with five fields, six with leading seconds, or a macro such as `@hourly`. */
  readonly cron?: string | undefined;
  /** IANA time zone of `cron`, such as `Europe/Berlin`. Default: UTC. */
  readonly timeZone?: string | undefined;
  /** Maximum random delay of each task in ms. Default 0; less than `every` and the task's `deadlineMs`, at most a day. */
  readonly jitter?: number | undefined;
  /** Whether a task that is due while the previous one is live is dropped (`skip`) or waits for it (`queue`). Default `skip`. */
  readonly overlap?: OverlapPolicy | undefined;
  /** The item of the tasks. Default: none. */
  readonly item?: string | undefined;
}

const DAY_MS = 24 * 3_600_000;
const optionsSchema = z.strictObject({
  every: z
    .int()
    .min(100)
    .max(3_650 * DAY_MS)
    .optional(),
  cron: z
    .string()
    .min(1)
    .max(256)
    .regex(/^[ -~]*$/, 'expected one line of ASCII')
    .optional(),
  timeZone: z.string().min(1).max(64).optional(),
  jitter: z.int().min(0).max(DAY_MS).default(0),
  overlap: z.enum(OVERLAP_POLICIES).default('skip'),
  item: z.string().optional(),
  dedupe: z.undefined('expected none: overlap decides which tasks of a schedule run').optional(),
});

/**
 * Validates a schedule before anything is written.
 * @throws FleetError `INVALID_ID`, `INVALID_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ITEM`, `INVALID_OPTION` (naming the field)
 */
export function checkSchedule(
  id: unknown,
  definition: AnyDefinition,
  input: unknown,
  options: ScheduleOptions,
  maxInputBytes: number,
): Schedule {
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) throw bad(String(parsed.error.issues[0]?.path[0] ?? 'options'), `Bad schedule: ${issuesOf(parsed.error)}.`);
  const { item, overlap, ...timing } = parsed.data;
  const { name, queue, retry, retention, deadlineMs } = definition;
  if (deadlineMs !== null && timing.jitter >= deadlineMs)
    throw bad('jitter', `Bad jitter: expected less than the deadlineMs of ${name} (${deadlineMs} ms), got ${timing.jitter}.`);
  const checkedId = checkScheduleId(id);
  const { json: data, parsed: value } = checkInput(definition, input, maxInputBytes);
  const checkedItem = item === undefined ? '' : checkItem(item);
  const task = { input: value, item: checkedItem || null };
  return {
    id: checkedId,
    definition: { name, queue, retry, retention, deadlineMs },
    data,
    item: checkedItem,
    tags: tagsOf(definition, task, {}),
    overlap,
    limits: marksOf(definition, task),
    ...checkTiming(timing),
  };
}

/** Validates the id of a user's schedule; ids of built-in schedules are refused. @throws FleetError `INVALID_ID` */
export function checkScheduleId(id: unknown): string {
  if (!isName(id)) {
    const got = typeof id === 'string' ? quote(id) : typeof id;
    throw new FleetError('INVALID_ID', `Bad schedule id: expected letters, digits and . _ - (at most 64), got ${got}.`, {
      details: { field: 'id' },
    });
  }
  const own = BUILTIN_DEFINITIONS.some(({ name, queue }) => name === id && queue === MAINTENANCE_QUEUE);
  if (own)
    throw new FleetError('INVALID_ID', `Schedule ${id} is built-in; change it with the fleet's settings.`, { details: { field: 'id' } });
  return id;
}

function checkTiming({
  every,
  cron,
  timeZone,
  jitter,
}: Pick<ScheduleOptions, 'every' | 'cron' | 'timeZone'> & { jitter: number }): ScheduleTiming {
  if ((every === undefined) === (cron === undefined)) throw bad('every', 'Bad schedule: expected either every or cron.');
  if (timeZone !== undefined) checkTimeZone(timeZone, cron);
  if (cron !== undefined) checkCron(cron, timeZone ?? 'UTC');
  if (every !== undefined && jitter >= every) throw bad('jitter', `Bad jitter: expected less than every (${every} ms), got ${jitter}.`);
  return { everyMs: every ?? null, cron: cron ?? null, timeZone: cron === undefined ? null : (timeZone ?? 'UTC'), jitterMs: jitter };
}

function checkTimeZone(timeZone: string, cron: string | undefined): void {
  if (cron === undefined) throw bad('timeZone', 'Bad timeZone: it needs cron, not every.');
  try {
    Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw bad('timeZone', `Bad timeZone: expected an IANA name such as Europe/Berlin, got ${quote(timeZone)}.`);
  }
}

function checkCron(cron: string, timeZone: string): void {
  // The parser fills in missing fields: "5" would mean once a week.
  const fields = cron.trim().split(/ +/).length;
  if (!cron.startsWith('@') && fields !== 5 && fields !== 6)
    throw bad('cron', `Bad cron: expected five fields, or six with leading seconds, got ${quote(cron)}.`);
  // In some dialects H means a random value, which would differ at each evaluation.
  if (/(^|[\s,/])H/.test(cron)) throw bad('cron', `Bad cron: ${quote(cron)} contains H, which has no fixed time.`);
  const next = nextTime(cron, timeZone);
  if (next === undefined) throw bad('cron', `Bad cron: ${quote(cron)} is never due.`);
}

function nextTime(cron: string, timeZone: string): number | undefined {
  try {
    return getNextMillis(Date.now(), { pattern: cron, tz: timeZone });
  } catch (error) {
    throw bad('cron', `Bad cron: ${quote(cron)}: ${messageOf(error)}.`);
  }
}

function bad(field: string, message: string): FleetError {
  return new FleetError('INVALID_OPTION', message, { details: { field } });
}
