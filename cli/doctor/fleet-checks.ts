import { WRONG_CLOCK_MS, redisTime } from '../../shared/clock/fleet-clock.js';
import { isTime } from '../../shared/records/hash-reader.js';
import { type BrokenQueue, type StopLatencySummary, type WorkerRecord, readBeats } from '../../shared/records/heartbeats.js';
import { type ReconcileRecord, readReconcile } from '../../shared/records/reconcile.js';
import type { RecordSource } from '../../shared/records/unreadable.js';
import { parseSchedule } from '../../shared/schedule/schedule.js';
import { type NextRunFault, readNextRuns } from '../../shared/schedule/schedulers.js';
import { defineScripts } from '../../shared/scripts/define-scripts.js';
import type { Settings } from '../../shared/settings/settings.js';
import { formatMs } from '../../shared/time.js';
import { scheduleTable } from '../../worker/schedule-planner.js';
import { formatAge, formatAgo } from '../text/table.js';
import { type Check, fail, ok, warn } from './check.js';

/** A worker, from its last heartbeat. */
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
  /** Uptime in ms. */
  readonly upMs: number;
  readonly beatAgeMs: number;
  /** How far the machine's clock is ahead of Redis', in ms; null if unknown. */
  readonly clockMs: number | null;
}

export interface FleetReport {
  readonly checks: readonly Check[];
  readonly workers: readonly WorkerInfo[];
  /** Null if the reconciler has never finished a run. */
  readonly reconcile: ReconcileRecord | null;
}

/** Checks workers, reconciler, schedules and live tasks. */
export async function checkFleet(source: RecordSource, settings: Settings): Promise<FleetReport> {
  const { redis, keys, unreadable } = source;
  const { alive, silent } = await readBeats(source);
  const now = (await redisTime(redis, keys.tasks)) ?? Date.now();
  const workers = alive.map((record) => workerOf(record, now));
  const live = await unreadable.read(keys.tasks, 'hash', redis.hlen(keys.tasks), 0);
  const [, oldest] = await unreadable.read(keys.live, 'sorted set', redis.zrange(keys.live, '0', '0', 'WITHSCORES'), []);
  const oldestAt = Number(oldest ?? Number.NaN);
  const reconcile = await readReconcile(source);
  const oldestWorkerMs = workers.length === 0 ? null : Math.max(...workers.map(({ upMs }) => upMs));
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
 * Checks the live workers by their heartbeats.
 * @param silent number of workers whose heartbeats stopped without a shutdown
 * @param live number of live tasks
 * @param channel the channel of stop messages
 */
export function checkWorkers(
  workers: readonly WorkerInfo[],
  { silent, live, channel }: { silent: number; live: number; channel: string },
): Check[] {
  return [...workers.map(checkWorker), ...checkCount(workers.length, silent, live), ...checkStopPath(workers, channel)];
}

/** Reports queues whose keys make BullMQ's scripts fail. */
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
  const notes = [
    ...(draining ? ['draining'] : []),
    ...(subscribed ? [] : ['not subscribed to stop messages']),
    ...(zombies > 0 ? [`${zombies} abandoned`] : []),
  ];
  const state = notes.map((note) => `, ${note}`).join('');
  const heartbeat = `heartbeat ${formatAgo(beatAgeMs)}${describeClock(clockMs)}`;
  const message = `${host} pid ${pid}: ${running} of ${slots} slots busy${state}${describeStops(stops)}, ${heartbeat}`;
  if (!subscribed && !draining) return warn('worker', message, 'Its tasks are stopped only when it polls. Check its connection to Redis.');
  if (zombies > 0)
    return warn(
      'worker',
      message,
      'Handlers that ignored their abort signal still run in that process. Pass the signal on, or isolate them.',
    );
  if (isWrong(clockMs))
    return warn('worker', message, 'Synchronise the clock of that machine (NTP). The fleet itself uses the clock of Redis.');
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

/** Formats a latency measured in whole milliseconds, without decimals. */
function formatWholeMs(ms: number): string {
  return ms < 10 ? `${ms} ms` : formatMs(ms);
}

/** Checks subscriptions and stop latencies. An unsubscribed worker that is draining is no problem, here and in its own line. */
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
      `The others see stops only when they poll (STOP_POLL_INTERVAL_MS). Check that they can connect and subscribe to ${channel}.`,
    ),
  ];
}

function checkCount(alive: number, silent: number, live: number): Check[] {
  const checks: Check[] = [];
  if (alive === 0)
    checks.push(
      warn('workers', live > 0 ? `none alive, ${live} tasks waiting` : 'none alive', 'Start workers: taskfleet up, or taskfleet worker'),
    );
  if (silent > 0)
    checks.push(
      warn(
        'workers',
        `${silent} disappeared within the last hour without shutting down`,
        'They were killed or lost their connection. Other workers take over their tasks.',
      ),
    );
  return checks;
}

/** Six times the default RECONCILE_INTERVAL_MS, because the workers' value may differ from the doctor's. */
const OVERDUE_MS = 60_000;
const RECONCILER = 'reconciler';

/** @param oldestWorkerMs uptime of the oldest live worker in ms, null if none is alive */
export function checkReconciler(last: ReconcileRecord | null, oldestWorkerMs: number | null, now: number): Check {
  if (last === null) {
    if (oldestWorkerMs === null || oldestWorkerMs <= OVERDUE_MS) return ok(RECONCILER, 'has not run yet');
    const advice = 'Workers take turns to run it every RECONCILE_INTERVAL_MS. Check their logs, and that their version includes it.';
    return warn(RECONCILER, `never ran, and workers have been up for ${formatAge(oldestWorkerMs)}`, advice);
  }
  const { at, removed, registered, settled } = last;
  const did = Object.entries({ removed, registered, settled }).flatMap(([what, count]) => (count === null ? [] : [`${what} ${count}`]));
  const message = `last run ${formatAgo(now - at)}${did.length === 0 ? '' : `: ${did.join(', ')}`}`;
  if (oldestWorkerMs === null || now - at <= OVERDUE_MS) return ok(RECONCILER, message);
  return warn(
    RECONCILER,
    message,
    "Tasks of dead workers stay listed until it runs again. Check the workers' logs and RECONCILE_INTERVAL_MS.",
  );
}

const SCHEDULES = 'schedules';
const WORDS: Readonly<Record<NextRunFault, string>> = {
  absent: 'no next run',
  gone: 'no next run',
  lost: 'a next run that is in no list of its queue',
  far: 'a next run more than one period away',
};
const NAMED = 5;

/**
 * Checks that each schedule has a next run within one period.
 * @param alive whether workers are alive; the first worker creates the built-in schedules
 */
async function checkSchedules({ redis, keys, unreadable }: RecordSource, settings: Settings, alive: boolean): Promise<Check> {
  const scripted = defineScripts(redis);
  const stored = Object.entries(await unreadable.read(keys.schedules, 'hash', redis.hgetall(keys.schedules), {})).flatMap(
    ([id, text]) => parseSchedule(id, text) ?? [],
  );
  const schedules = [...(alive ? scheduleTable(settings) : []), ...stored].sort((a, b) => (a.id < b.id ? -1 : 1));
  const now = (await redisTime(redis, keys.tasks)) ?? Date.now();
  const runs = await Promise.all(
    schedules.map(async ({ id, definition }) => ({
      id,
      run: (
        await unreadable.read(
          `${keys.jobs(definition.queue)}repeat`,
          'sorted set',
          readNextRuns(scripted, keys, definition.queue, [id], now),
          [],
        )
      )[0],
    })),
  );
  const wrong = runs.flatMap(({ id, run }) => (run?.fault ? [`${id} has ${WORDS[run.fault]}`] : []));
  if (wrong.length === 0) return ok(SCHEDULES, schedules.length === 0 ? 'none' : `${schedules.length}, each with a next run`);
  const more = wrong.length > NAMED ? `, and ${wrong.length - NAMED} more` : '';
  const advice = alive
    ? "A worker repairs this within half a minute. If it persists, check the workers' logs (component schedule)."
    : 'Start workers, which repair this.';
  return warn(SCHEDULES, `${wrong.slice(0, NAMED).join('; ')}${more}`, advice);
}
