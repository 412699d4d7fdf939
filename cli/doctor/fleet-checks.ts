import { WRONG_CLOCK_MS } from '../../shared/clock/fleet-clock.js';
import { redisTime } from '../../shared/clock/redis-time.js';
import { formatMs } from '../../shared/duration.js';
import { isTime } from '../../shared/hash-reader.js';
import { type ReconcileRecord, readReconcile } from '../../shared/records/reconcile.js';
import { type WorkerRecord, readWorkers } from '../../shared/records/workers.js';
import type { Settings } from '../../shared/settings.js';
import type { BrokenQueue } from '../../shared/task/queue-keys.js';
import type { RecordSource } from '../../shared/unreadable.js';
import type { StopLatencySummary } from '../../worker/stop-latency.js';
import { formatAge, formatAgo } from '../age.js';
import { type Check, fail, ok, warn } from './check.js';
import { checkReconciler } from './reconciler-check.js';
import { checkSchedules } from './schedule-check.js';

/** A worker as its last heartbeat says. */
export interface WorkerInfo {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly slots: number;
  readonly running: number;
  readonly zombies: number;
  readonly draining: boolean;
  readonly subscribed: boolean;
  readonly broken: readonly BrokenQueue[];
  readonly stops: StopLatencySummary;
  /** For how long it has been up. */
  readonly upMs: number;
  readonly beatAgeMs: number;
  /** How far the clock of its machine is ahead of Redis', in ms; null if it does not tell. */
  readonly clockMs: number | null;
}

export interface FleetReport {
  readonly checks: readonly Check[];
  readonly workers: readonly WorkerInfo[];
  /** Null if the reconciler has never finished a run. */
  readonly reconcile: ReconcileRecord | null;
}

/** Who works, and on how much. */
export async function checkFleet(source: RecordSource, settings: Settings): Promise<FleetReport> {
  const { redis, keys, unreadable } = source;
  const records = await readWorkers(source);
  const now = (await redisTime(redis, keys.tasks)) ?? Date.now();
  const workers = records.filter(({ alive }) => alive).map((record) => workerOf(record, now));
  const live = await unreadable.read(keys.tasks, 'hash', redis.hlen(keys.tasks), 0);
  const [, oldest] = await unreadable.read(keys.live, 'sorted set', redis.zrange(keys.live, '0', '0', 'WITHSCORES'), []);
  const oldestAt = Number(oldest ?? Number.NaN);
  const reconcile = await readReconcile(source);
  const oldestWorkerMs = workers.length === 0 ? null : Math.max(...workers.map(({ upMs }) => upMs));
  const silent = records.filter(({ alive, problem }) => !alive && problem === null).length;
  const checks = [
    ...checkQueues(workers),
    ...checkWorkers(workers, { silent, live, channel: keys.commands }),
    checkReconciler(reconcile, oldestWorkerMs, now),
    await checkSchedules(source, settings, workers.length > 0),
    ok('tasks', live === 0 ? 'none live' : `${live} live${isTime(oldestAt) ? `, the oldest for ${formatAge(now - oldestAt)}` : ''}`),
  ];
  return { checks, workers, reconcile };
}

/**
 * What the heartbeats of the workers that are alive say.
 * @param silent how many fell silent without a farewell
 * @param live how many tasks are live
 * @param channel where workers hear stop messages
 */
export function checkWorkers(
  workers: readonly WorkerInfo[],
  { silent, live, channel }: { silent: number; live: number; channel: string },
): Check[] {
  return [...workers.map(checkWorker), ...checkCount(workers.length, silent, live), ...checkStopPath(workers, channel)];
}

/** Queues whose keys BullMQ's own scripts fail over. */
function checkQueues(workers: readonly WorkerInfo[]): Check[] {
  const broken = new Map(workers.flatMap((worker) => worker.broken.map(({ queue, problem }) => [queue, problem])));
  return [...broken].map(([queue, problem]) => fail('queue', `nothing is fetched from ${queue}`, problem));
}

function workerOf(
  { id, host, pid, slots, running, zombies, draining, subscribed, broken, stops, startedAt, beatAt, clockMs }: WorkerRecord,
  now: number,
): WorkerInfo {
  return {
    ...{ id, host: host ?? '', pid: pid ?? 0, slots: slots ?? 0, running: running.length, zombies: zombies ?? 0 },
    ...{ draining: draining ?? false, subscribed: subscribed ?? false, broken, stops: { ...stops, count: stops.count ?? 0 } },
    ...{ upMs: Math.max(0, now - (startedAt ?? now)), beatAgeMs: now - (beatAt ?? now), clockMs },
  };
}

function checkWorker(worker: WorkerInfo): Check {
  const { host, pid, running, slots, zombies, draining, subscribed, stops, beatAgeMs, clockMs } = worker;
  const state = `${draining ? ', draining' : ''}${subscribed ? '' : ', does not hear stop messages'}${zombies > 0 ? `, ${zombies} given up` : ''}`;
  const message = `${host} pid ${pid}: ${running} of ${slots} slots busy${state}${describeStops(stops)}, heartbeat ${formatAgo(beatAgeMs)}${describeClock(clockMs)}`;
  if (!subscribed && !draining)
    return warn('worker', message, 'Stops still land there, but only as it polls for them. Look at its connection to Redis.');
  if (zombies > 0)
    return warn(
      'worker',
      message,
      'Handlers that ignore their abort signal still run in that process: pass the signal on, or isolate them.',
    );
  if (isWrong(clockMs))
    return warn('worker', message, 'The fleet goes by the clock of Redis all the same. Synchronise the clock of that machine (NTP).');
  return ok('worker', message);
}

function isWrong(clockMs: number | null): clockMs is number {
  return clockMs !== null && Math.abs(clockMs) > WRONG_CLOCK_MS;
}

function describeClock(clockMs: number | null): string {
  return isWrong(clockMs) ? `, clock ${formatMs(Math.abs(clockMs))} ${clockMs > 0 ? 'ahead' : 'behind'}` : '';
}

function describeStops({ count, p50Ms, p99Ms }: StopLatencySummary): string {
  return p50Ms === null || p99Ms === null ? '' : `, stops p50 ${formatWholeMs(p50Ms)}, p99 ${formatWholeMs(p99Ms)} of ${count}`;
}

/** Clocks in whole milliseconds measured it: no tenths. */
function formatWholeMs(ms: number): string {
  return ms < 10 ? `${ms} ms` : formatMs(ms);
}

/** How fast stops reach the fleet. Like its own line, this one minds no deaf worker that is closing. */
function checkStopPath(workers: readonly WorkerInfo[], channel: string): Check[] {
  if (workers.length === 0) return [];
  const slowest = Math.max(...workers.map(({ stops }) => stops.p99Ms ?? -1));
  const subscribed = workers.filter((worker) => worker.subscribed).length;
  const message = `${subscribed} of ${workers.length} workers subscribed${slowest < 0 ? '' : `, slowest p99 ${formatWholeMs(slowest)}`}`;
  if (workers.every((worker) => worker.subscribed || worker.draining)) return [ok('stop path', message)];
  return [
    warn(
      'stop path',
      message,
      `Stops reach the others only at their next poll (STOP_POLL_INTERVAL_MS). Can they connect, and may they subscribe to ${channel}?`,
    ),
  ];
}

function checkCount(alive: number, silent: number, live: number): Check[] {
  const checks: Check[] = [];
  if (alive === 0)
    checks.push(
      warn('workers', live > 0 ? `none alive, and ${live} tasks wait` : 'none alive', 'Start some: taskfleet up, or taskfleet worker'),
    );
  if (silent > 0)
    checks.push(
      warn(
        'workers',
        `${silent} fell silent within the last hour without a farewell`,
        'They were killed or lost their connection. What they ran goes to the others.',
      ),
    );
  return checks;
}
