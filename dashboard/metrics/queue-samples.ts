import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import { parseStop } from '../../shared/stop/record.js';
import type { Store } from '../../shared/store.js';
import { baseQueue } from '../../shared/task/shards.js';
import { readOptions } from '../../shared/task/options-record.js';
import { type Sample, sample } from './exposition.js';

/** BullMQ's lists of jobs, and how their length is asked for. */
const PLACES = { waiting: 'llen', prioritized: 'zcard', active: 'llen', delayed: 'zcard', 'waiting-children': 'zcard', completed: 'zcard', failed: 'zcard' } as const;
/** BullMQ's key of a place, where that has another name. */
const KEY_OF: Readonly<Record<string, string>> = { waiting: 'wait' };
/** BullMQ puts a priority above these bits of a score, and a running number into them. */
const PRIORITY = 2 ** 32;
/** Running jobs that are looked at for open stops: as many as a large fleet has slots on one queue. */
const MOST_ACTIVE = 2_000;

/** What is read of one BullMQ queue. */
interface Reading {
  /** The logical queue. */
  readonly queue: string;
  readonly depths: Readonly<Record<string, number>>;
  readonly waitMs: number;
  /** When each open stop was recorded, in ms since the epoch. */
  readonly stops: readonly number[];
}

/**
 * How full each queue is, its shards taken together: whoever scales by depth wants one figure. Costs the same for any
 * number of tasks that wait; of those that run, it looks for stops.
 */
export async function queueSamples(store: Store): Promise<Sample[]> {
  const { redis, keys, registry, clock } = store;
  const [all, ours, queues] = await Promise.all([registry.count(), redis.hlen(keys.taskQueues), registry.queueNames()]);
  const now = clock.now();
  const read = await Promise.all(queues.map((queue) => readQueue(store, queue, now)));
  // A record that somebody wrote by hand has no time: 0.
  const oldest = Math.max(0, ...read.flatMap(({ stops }) => stops.map((at) => (at > 0 ? now - at : 0))));
  return [
    sample('taskfleet_tasks_live', all),
    sample('taskfleet_tasks_foreign', Math.max(0, all - ours)),
    sample('taskfleet_stop_oldest_open_seconds', oldest / 1_000),
    ...[...new Set(read.map(({ queue }) => queue))].flatMap((queue) => samplesOf(queue, read.filter((one) => one.queue === queue))),
  ];
}

function samplesOf(queue: string, shards: readonly Reading[]): Sample[] {
  const sum = (figures: readonly number[]): number => figures.reduce((total, figure) => total + figure, 0);
  return [
    ...Object.keys(PLACES).map((state) => sample('taskfleet_queue_jobs', sum(shards.map(({ depths }) => depths[state] ?? 0)), { queue, state })),
    sample('taskfleet_queue_oldest_wait_seconds', Math.max(...shards.map(({ waitMs }) => waitMs)) / 1_000, { queue }),
    sample('taskfleet_stops_open', sum(shards.map(({ stops }) => stops.length)), { queue }),
  ];
}

async function readQueue(store: Store, queue: string, now: number): Promise<Reading> {
  const { redis, keys } = store;
  const start = keys.jobs(queue);
  const [depths, waitMs, stops] = await Promise.all([
    Promise.all(Object.entries(PLACES).map(async ([state, command]) => [state, await redis[command](start + (KEY_OF[state] ?? state))] as const)),
    oldestWaitMs(store, queue, now),
    openStops(store, queue),
  ]);
  return { queue: baseQueue(queue), depths: Object.fromEntries(depths), waitMs, stops };
}

/** When each open stop of what runs was recorded, in ms since the epoch. */
async function openStops({ redis, keys }: Store, queue: string): Promise<number[]> {
  const jobs = keys.jobs(queue);
  const [, stopped] = await redis.readPage(`${jobs}active`, jobs, 0, MOST_ACTIVE - 1);
  const stops = await Promise.all(stopped.map((id) => redis.hget(jobs + id, 'stop')));
  return stops.flatMap((stop) => parseStop(stop, null)?.at?.getTime() ?? []);
}

/** Of those that wait, the first in line; of those with a priority, the oldest of the highest and of the lowest one. */
async function oldestWaitMs({ redis, keys }: Store, queue: string, now: number): Promise<number> {
  const start = keys.jobs(queue);
  const prioritized = `${start}prioritized`;
  const [next, [urgent], [, lastScore]] = await Promise.all([redis.lindex(`${start}wait`, -1), redis.zrange(prioritized, '0', '0'), redis.zrange(prioritized, '-1', '-1', 'WITHSCORES')]);
  const lowest = Math.floor(Number(lastScore ?? 0) / PRIORITY) * PRIORITY;
  const [patient] = lastScore === undefined ? [] : await redis.zrangebyscore(prioritized, lowest, '+inf', 'LIMIT', 0, 1);
  const ids = [next, urgent, patient].filter((id) => id !== null && id !== undefined);
  const waits = ids.map(async (id) => {
    const [timestamp = null, options = null, processedOn = null] = await redis.hmget(start + id, 'timestamp', 'opts', 'processedOn');
    return timestamp === null ? 0 : now - waitsSince(id, Number(timestamp), options, Number(processedOn ?? 0));
  });
  return Math.max(0, ...(await Promise.all(waits)));
}

/** In ms since the epoch. After a failed attempt, since that was begun: nothing says when it ended. */
function waitsSince(id: string, timestamp: number, options: string | null, processedOn: number): number {
  const { retriedAt = 0, delay = 0 } = readOptions(options);
  const due = isScheduledRun(id) ? dueTimeOf(id) : timestamp + delay;
  return Math.max(due, retriedAt, processedOn);
}
