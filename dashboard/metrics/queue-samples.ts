import { HashReader } from '../../shared/records/hash-reader.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import { parseStop } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import { readOptions } from '../../shared/task/job-options.js';
import { baseQueue } from '../../shared/task/shards.js';
import { type Sample, sample } from './exposition.js';

/** BullMQ's job states and the Redis types of their keys. */
const JOB_STATES = {
  waiting: 'list',
  prioritized: 'sorted set',
  active: 'list',
  delayed: 'sorted set',
  'waiting-children': 'sorted set',
  completed: 'sorted set',
  failed: 'sorted set',
} as const;
const LENGTH = { list: 'llen', 'sorted set': 'zcard' } as const;
/** Keys whose names differ from their states. */
const KEY_OF: Readonly<Record<string, string>> = { waiting: 'wait' };
/** BullMQ stores the priority in a score's bits above these, and a sequence number below. */
const PRIORITY = 2 ** 32;
/** Maximum running jobs per queue to check for unsettled stops. */
const MAX_ACTIVE = 2_000;

/** The readings of one BullMQ queue. */
interface Reading {
  /** The logical queue. */
  readonly queue: string;
  readonly depths: Readonly<Record<string, number>>;
  readonly waitMs: number;
  /** When each unsettled stop was recorded, in ms since the epoch. */
  readonly stops: readonly number[];
}

/**
 * Returns the depth of each queue, summed over its shards, as autoscalers need it. The cost does not grow with queued tasks; running
 * tasks are checked for unsettled stops.
 */
export async function queueSamples(store: Store): Promise<Sample[]> {
  const { redis, keys, registry, clock, unreadable } = store;
  const [all, ours, queues] = await Promise.all([
    registry.count(),
    unreadable.read(keys.taskQueues, 'hash', redis.hlen(keys.taskQueues), 0),
    registry.queueNames(),
  ]);
  const now = clock.now();
  const read = await Promise.all(queues.map((queue) => readQueue(store, queue, now)));
  // A stop record written by hand may lack a time (0).
  const oldest = Math.max(0, ...read.flatMap(({ stops }) => stops.map((at) => (at > 0 ? now - at : 0))));
  return [
    sample('taskfleet_tasks_live', all),
    sample('taskfleet_tasks_foreign', Math.max(0, all - ours)),
    sample('taskfleet_stop_oldest_open_seconds', oldest / 1_000),
    ...[...new Set(read.map(({ queue }) => queue))].flatMap((queue) =>
      samplesOf(
        queue,
        read.filter((one) => one.queue === queue),
      ),
    ),
  ];
}

function samplesOf(queue: string, shards: readonly Reading[]): Sample[] {
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  return [
    ...Object.keys(JOB_STATES).map((state) =>
      sample('taskfleet_queue_jobs', sum(shards.map(({ depths }) => depths[state] ?? 0)), { queue, state }),
    ),
    sample('taskfleet_queue_oldest_wait_seconds', Math.max(...shards.map(({ waitMs }) => waitMs)) / 1_000, { queue }),
    sample('taskfleet_stops_open', sum(shards.map(({ stops }) => stops.length)), { queue }),
  ];
}

async function readQueue(store: Store, queue: string, now: number): Promise<Reading> {
  const { redis, keys, unreadable } = store;
  const lengthOf = (state: string, type: 'list' | 'sorted set'): Promise<number> => {
    const key = keys.jobs(queue) + (KEY_OF[state] ?? state);
    return unreadable.read(key, type, redis[LENGTH[type]](key), 0);
  };
  const [depths, waitMs, stops] = await Promise.all([
    Promise.all(Object.entries(JOB_STATES).map(async ([state, type]) => [state, await lengthOf(state, type)] as const)),
    oldestWaitMs(store, queue, now),
    unsettledStops(store, queue),
  ]);
  return { queue: baseQueue(queue), depths: Object.fromEntries(depths), waitMs, stops };
}

/** Returns when each unsettled stop of a running task was recorded, in ms since the epoch. */
async function unsettledStops({ redis, keys, unreadable }: Store, queue: string): Promise<number[]> {
  const jobs = keys.jobs(queue);
  const [, stopped] = await unreadable.read(`${jobs}active`, 'list', redis.readPage(`${jobs}active`, jobs, 0, MAX_ACTIVE - 1), [
    [],
    [],
    [],
  ]);
  const stops = await Promise.all(stopped.map((id) => redis.hget(jobs + id, 'stop')));
  return stops.flatMap((stop) => parseStop(stop, null)?.at?.getTime() ?? []);
}

/**
 * Returns the longest wait of the next job in line and, among prioritized jobs, of the oldest with the highest and the lowest priority.
 */
async function oldestWaitMs(store: Store, queue: string, now: number): Promise<number> {
  const { redis, keys, unreadable } = store;
  const start = keys.jobs(queue);
  const wait = `${start}wait`;
  const prioritized = `${start}prioritized`;
  const byPriority = (reading: Promise<string[]>): Promise<string[]> => unreadable.read(prioritized, 'sorted set', reading, []);
  const [next, [urgent], [, lastScore]] = await Promise.all([
    unreadable.read(wait, 'list', redis.lindex(wait, -1), null),
    byPriority(redis.zrange(prioritized, '0', '0')),
    byPriority(redis.zrange(prioritized, '-1', '-1', 'WITHSCORES')),
  ]);
  const score = Number(lastScore ?? 0);
  const lowest = Number.isFinite(score) ? Math.floor(score / PRIORITY) * PRIORITY : 0;
  const [patient] = lastScore === undefined ? [] : await byPriority(redis.zrangebyscore(prioritized, lowest, '+inf', 'LIMIT', 0, 1));
  const ids = [next, urgent, patient].filter((id) => id !== null && id !== undefined);
  return Math.max(0, ...(await Promise.all(ids.map((id) => waitOf(store, start + id, id, now)))));
}

/** Returns how long a job has waited; 0 if unreadable. */
async function waitOf({ redis, unreadable }: Store, key: string, id: string, now: number): Promise<number> {
  const [timestamp, opts, processedOn] = await unreadable.read(key, 'hash', redis.hmget(key, 'timestamp', 'opts', 'processedOn'), []);
  const fields = new HashReader({ timestamp, opts, processedOn });
  const since = fields.ms('timestamp');
  const waited = since === null ? 0 : now - waitsSince(id, since, fields.text('opts'), fields.ms('processedOn') ?? 0);
  if (fields.problem !== null) unreadable.report({ key, problem: fields.problem });
  return Number.isFinite(waited) ? waited : 0;
}

/** Returns when the wait began, in ms since the epoch. After a failed attempt, its start time: BullMQ does not record its end. */
function waitsSince(id: string, timestamp: number, options: string | null, processedOn: number): number {
  const { retriedAt = 0, delay = 0 } = readOptions(options);
  const due = isScheduledRun(id) ? dueTimeOf(id) : timestamp + delay;
  return Math.max(due, retriedAt, processedOn);
}
