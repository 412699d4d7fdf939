import type { Keys } from '../keys.js';
import { PARKED_SCORE, waitsFrom } from '../limiter/parked-jobs.js';
import { HashReader } from '../records/hash-reader.js';
import { type RecordReporter, wrongType } from '../records/unreadable.js';
import { dueTimeOf, isScheduledRun } from '../schedule/schedule.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { readOptions } from '../task/job-options.js';

/** The jobs of a BullMQ queue, by place. */
export interface QueueSizes {
  readonly waiting: number;
  readonly prioritized: number;
  readonly active: number;
  /** Without the parked ones. */
  readonly delayed: number;
  /** Jobs that wait for a limit; BullMQ has them among the delayed ones. */
  readonly parked: number;
  readonly waitingChildren: number;
  readonly completed: number;
  /** Including the cancelled ones. */
  readonly failed: number;
  /** Approximate: by the indexes of the retention. */
  readonly cancelled: number;
}

/** A job that waits. */
export interface OldestWait {
  readonly id: string;
  /** Null if unreadable. */
  readonly name: string | null;
  /** How long it has been ready to run, in ms; since it was due for a delayed one. */
  readonly ms: number;
}

/** The state of one BullMQ queue. */
export interface QueueReading {
  readonly sizes: QueueSizes;
  readonly paused: boolean;
  /** BullMQ's global concurrency; null for none. */
  readonly concurrency: number | null;
  /** The job that has been ready to run for longest; null if none waits. */
  readonly oldestWait: OldestWait | null;
  /** The queue's keys of the wrong type, which count as empty. */
  readonly wrong: readonly string[];
}

interface ReadingSource {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
}

const PLACES = ['wait', 'prioritized', 'active', 'delayed', 'waiting-children', 'completed', 'failed', 'meta'];
/** More names than that on one queue come from a program that makes them up. */
const MOST_NAMES = 1_000;

/** Reads the state of a BullMQ queue with one script, whose cost does not grow with the tasks. Reports keys of the wrong type. */
export async function readQueue({ redis, keys, unreadable }: ReadingSource, queue: string, now: number): Promise<QueueReading> {
  const jobs = keys.jobs(queue);
  const [sizes, paused, concurrency, due, candidates, wrong] = await redis.describeQueue(
    ...PLACES.map((place) => jobs + place),
    keys.keptLimits(queue),
    jobs,
    PARKED_SCORE,
    MOST_NAMES,
  );
  for (const key of wrong) unreadable.report({ key, problem: wrongType(typeOf(key)) });
  const [waiting = 0, prioritized = 0, active = 0, delayed = 0, parked = 0, waitingChildren = 0, completed = 0, failed = 0, cancelled = 0] =
    sizes;
  const waits = candidates.map(([id, name, timestamp, opts, processedOn]): OldestWait => {
    const fields = new HashReader({ timestamp, opts, processedOn });
    const ms = Math.max(0, waitOf(id, fields, now));
    if (fields.problem !== null) unreadable.report({ key: jobs + id, problem: fields.problem });
    return { id, name, ms };
  });
  const [dueId, dueName = null, dueScore] = due;
  const overdue = dueId === undefined ? -1 : Math.round(now - Number(dueScore) / 4_096);
  if (dueId !== undefined && overdue >= 0) waits.push({ id: dueId, name: dueName, ms: overdue });
  return {
    sizes: {
      ...{ waiting, prioritized, active, delayed: Math.max(0, delayed - parked), parked, waitingChildren, completed, failed },
      cancelled: Math.min(cancelled, failed),
    },
    paused: paused === 1,
    concurrency: wholeOf(concurrency),
    oldestWait: oldestOf(waits),
    wrong,
  };
}

/** Returns the longest wait; null for none. */
export function oldestOf(waits: readonly OldestWait[]): OldestWait | null {
  return waits.reduce<OldestWait | null>((oldest, wait) => (oldest === null || wait.ms > oldest.ms ? wait : oldest), null);
}

/** Returns how long a job has waited, in ms; 0 if unreadable. After a failed attempt, since its start: BullMQ does not record its end. */
function waitOf(id: string, fields: HashReader, now: number): number {
  const timestamp = fields.ms('timestamp');
  if (timestamp === null) return 0;
  const { retriedAt = 0, delay = 0 } = readOptions(fields.text('opts'));
  const due = isScheduledRun(id) ? dueTimeOf(id) : waitsFrom(timestamp, delay);
  const waited = now - Math.max(due, retriedAt, fields.ms('processedOn') ?? 0);
  return Number.isFinite(waited) ? waited : 0;
}

function wholeOf(text: string | null): number | null {
  const number = Number(text ?? Number.NaN);
  return Number.isSafeInteger(number) && number >= 0 ? number : null;
}

function typeOf(key: string): 'list' | 'hash' | 'sorted set' {
  if (/:(wait|active)$/.test(key)) return 'list';
  return /:(prioritized|delayed|waiting-children|completed|failed)$|:kept:cancelled:/.test(key) ? 'sorted set' : 'hash';
}
