import { readQueue } from '../../shared/queue/queue-reading.js';
import { parseStop } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import { baseQueue } from '../../shared/task/shards.js';
import { type Sample, sample } from './exposition.js';

/** Maximum running jobs per queue to check for unsettled stops. */
const MAX_ACTIVE = 2_000;

/** The readings of one BullMQ queue. */
interface Reading {
  /** The logical queue. */
  readonly queue: string;
  /** Numbers of jobs by the label `state`. */
  readonly depths: Readonly<Record<string, number>>;
  readonly paused: boolean;
  readonly waitMs: number;
  /** When each unsettled stop was recorded, in ms since the epoch. */
  readonly stops: readonly number[];
}

/**
 * Returns the depth of each queue, summed over its shards, as autoscalers need it, and whether it is paused. The cost does not grow with
 * queued tasks; running tasks are checked for unsettled stops.
 */
export async function queueSamples(store: Store): Promise<Sample[]> {
  const { redis, keys, registry, clock, unreadable } = store;
  const [all, ours, queues] = await Promise.all([
    registry.count(),
    unreadable.read(keys.taskQueues, 'hash', redis.hlen(keys.taskQueues), 0),
    registry.queueNames(),
  ]);
  const now = clock.now();
  const read = await Promise.all(queues.map((queue) => readingOf(store, queue, now)));
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
  const states = Object.keys(shards[0]?.depths ?? {});
  return [
    ...states.map((state) => sample('taskfleet_queue_jobs', sum(shards.map(({ depths }) => depths[state] ?? 0)), { queue, state })),
    sample('taskfleet_queue_paused', Number(shards.some(({ paused }) => paused)), { queue }),
    sample('taskfleet_queue_oldest_wait_seconds', Math.max(...shards.map(({ waitMs }) => waitMs)) / 1_000, { queue }),
    sample('taskfleet_stops_open', sum(shards.map(({ stops }) => stops.length)), { queue }),
  ];
}

async function readingOf(store: Store, queue: string, now: number): Promise<Reading> {
  const [{ sizes, paused, oldestWait }, stops] = await Promise.all([readQueue(store, queue, now), unsettledStops(store, queue)]);
  const { waiting, prioritized, active, delayed, parked, waitingChildren, completed, failed } = sizes;
  // Parked jobs are counted apart: no further worker would start them.
  const depths = { waiting, prioritized, active, delayed, 'waiting-children': waitingChildren, completed, failed, 'in-line': parked };
  return { queue: baseQueue(queue), depths, paused, waitMs: oldestWait?.ms ?? 0, stops };
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
