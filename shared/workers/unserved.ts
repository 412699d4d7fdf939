import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import { readQueue } from '../queue/queue-reading.js';
import type { RecordReporter } from '../records/unreadable.js';
import { readQueueNames } from '../registry/reads.js';
import { MAINTENANCE_QUEUE, parseSchedule } from '../schedule/schedule.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { baseQueue } from '../task/shards.js';
import { type WorkerRecord, takesQueue } from './heartbeats.js';

interface UnservedSource {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
  readonly clock: Pick<FleetClock, 'now'>;
}

/** A queue with tasks that no live worker fetches from. */
export interface UnservedQueue {
  readonly queue: string;
  /** Tasks that wait for a worker. */
  readonly tasks: number;
}

/** A schedule whose tasks no live worker takes. */
export interface UnservedSchedule {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
}

/** What no live worker takes, drained workers not counted. */
export interface Unserved {
  readonly queues: readonly UnservedQueue[];
  readonly schedules: readonly UnservedSchedule[];
}

/**
 * Finds the queues with tasks, and users' schedules, that none of these workers takes. Without any task of its own, the maintenance queue
 * counts too: the reconciler runs on it.
 */
export async function readUnserved(source: UnservedSource, workers: readonly WorkerRecord[]): Promise<Unserved> {
  const [queues, schedules] = await Promise.all([readQueues(source, workers), readSchedules(source, workers)]);
  return { queues, schedules };
}

/** Describes queues that no worker takes; '' for none. */
export function describeUnserved({ queues, schedules }: Unserved): string {
  const ofQueues = queues
    .slice(0, MOST_NAMED)
    .map(({ queue, tasks }) => (tasks === 0 ? `queue ${queue}` : `queue ${queue} (${tasks} ${tasks === 1 ? 'task' : 'tasks'})`));
  const ofSchedules = schedules.slice(0, MOST_NAMED).map(({ id, name }) => `schedule ${id} (${name})`);
  const more = queues.length + schedules.length - ofQueues.length - ofSchedules.length;
  return [...ofQueues, ...ofSchedules, ...(more > 0 ? [`${more} more`] : [])].join(', ');
}

const MOST_NAMED = 5;

async function readQueues(source: UnservedSource, workers: readonly WorkerRecord[]): Promise<UnservedQueue[]> {
  const names = new Set([...(await readQueueNames(source)), MAINTENANCE_QUEUE]);
  const isUnserved = (name: string): boolean => !workers.some((worker) => takesQueue(worker, baseQueue(name)));
  const now = source.clock.now();
  const waiting = new Map<string, number>();
  await Promise.all(
    [...names].filter(isUnserved).map(async (name) => {
      const { sizes } = await readQueue(source, name, now);
      const tasks = sizes.waiting + sizes.prioritized + sizes.delayed + sizes.parked;
      waiting.set(baseQueue(name), (waiting.get(baseQueue(name)) ?? 0) + tasks);
    }),
  );
  return [...waiting]
    .filter(([queue, tasks]) => tasks > 0 || queue === MAINTENANCE_QUEUE)
    .map(([queue, tasks]) => ({ queue, tasks }))
    .toSorted((a, b) => b.tasks - a.tasks);
}

async function readSchedules({ redis, keys, unreadable }: UnservedSource, workers: readonly WorkerRecord[]): Promise<UnservedSchedule[]> {
  const stored = await unreadable.read(keys.schedules, 'hash', redis.hgetall(keys.schedules), {});
  return Object.entries(stored).flatMap(([id, text]) => {
    const { name, queue } = parseSchedule(id, text)?.definition ?? {};
    if (name === undefined || queue === undefined || workers.some((worker) => takes(worker, queue, name))) return [];
    return [{ id, name, queue }];
  });
}

/** A worker of an older version does not report its definitions. */
function takes(worker: WorkerRecord, queue: string, name: string): boolean {
  return takesQueue(worker, queue) && (worker.definitions === null || Object.hasOwn(worker.definitions, name));
}
