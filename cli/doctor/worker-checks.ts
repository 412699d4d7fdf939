import { WRONG_CLOCK_MS } from '../../shared/clock/fleet-clock.js';
import { shortened } from '../../shared/limits.js';
import { formatMs } from '../../shared/time.js';
import type { WorkerDrain } from '../../shared/workers/drains.js';
import type { BrokenQueue, StopLatencySummary, WorkerRecord } from '../../shared/workers/heartbeats.js';
import type { DefinitionDifference } from '../../shared/workers/published-definitions.js';
import { type Unserved, describeUnserved } from '../../shared/workers/unserved.js';
import { oneLine } from '../text/output.js';
import { formatAgo } from '../text/table.js';
import { type Check, fail, ok, warn } from './check.js';

/** Most characters shown of the reason of a drain. */
const MAX_REASON = 60;
/** Most workers named for a version of a definition. */
const NAMED = 3;

/** A worker, from its last heartbeat. */
export interface WorkerInfo {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly slots: number;
  readonly running: number;
  readonly zombies: number;
  readonly draining: boolean;
  /** Null if the worker is not drained. */
  readonly drain: Pick<WorkerDrain, 'by' | 'reason'> | null;
  readonly subscribed: boolean;
  readonly broken: readonly BrokenQueue[];
  readonly stops: StopLatencySummary;
  /** Uptime in ms. */
  readonly upMs: number;
  readonly beatAgeMs: number;
  /** How far the machine's clock is ahead of Redis', in ms; null if unknown. */
  readonly clockMs: number | null;
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
export function checkQueues(workers: readonly WorkerInfo[]): Check[] {
  const broken = new Map(workers.flatMap((worker) => worker.broken.map(({ queue, problem }) => [queue, problem])));
  return [...broken].map(([queue, problem]) => fail('queue', `nothing is fetched from ${queue}`, problem));
}

/** Describes a worker for the doctor. */
export function workerInfoOf(
  { id, host, pid, slots, running, zombies, draining, subscribed, broken, stops, startedAt, beatAt, clockMs }: WorkerRecord,
  drain: WorkerDrain | null,
  now: number,
): WorkerInfo {
  return {
    ...{ id, host: host ?? '', pid: pid ?? 0, slots: slots ?? 0, running: running.length, zombies: zombies ?? 0 },
    ...{ draining: draining ?? false, drain, subscribed: subscribed ?? false, broken, stops: { ...stops, count: stops.count ?? 0 } },
    ...{ upMs: Math.max(0, now - (startedAt ?? now)), beatAgeMs: now - (beatAt ?? now), clockMs },
  };
}

function checkWorker(worker: WorkerInfo): Check {
  const { host, pid, running, slots, zombies, draining, drain, subscribed, stops, beatAgeMs, clockMs } = worker;
  const notes = [
    ...(draining ? ['shutting down'] : []),
    ...(drain === null ? [] : [describeDrain(drain)]),
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

function describeDrain({ by, reason }: Pick<WorkerDrain, 'by' | 'reason'>): string {
  return oneLine(`drained${by === null ? '' : ` by ${by}`}${reason === null ? '' : ` (${shortened(reason, MAX_REASON)})`}`);
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
        'They were killed or lost their connection; taskfleet worker list has their last words. Other workers take over their tasks.',
      ),
    );
  return checks;
}

/** Reports queues with tasks, and schedules, that none of the live workers takes. */
export function checkUnserved(unserved: Unserved): Check[] {
  const message = describeUnserved(unserved);
  if (message === '') return [];
  const advice =
    'Start a worker that takes them: see WORKER_QUEUES, BUILTIN_TASKS and TASK_MODULES of the workers. ' +
    'A drained worker fetches again after taskfleet worker resume.';
  return [warn('takers', `no worker takes ${message}`, advice)];
}

/** Reports definitions that are not the same in all processes. */
export function checkDefinitions(differences: readonly DefinitionDifference[]): Check[] {
  const advice = 'Deploy the same version of the task modules everywhere. While an upgrade rolls out, this is expected.';
  return differences.map(({ name, fields, versions }) => {
    const holders = versions.map(({ workers, producers }) => {
      const more = workers.length > NAMED ? [`${workers.length - NAMED} more`] : [];
      return [...workers.slice(0, NAMED), ...more, ...(producers ? ['producers'] : [])].join(', ');
    });
    const what = fields.length === 0 ? '' : ` (${fields.join(', ')})`;
    return warn('definitions', oneLine(`${name} differs${what}: ${holders.join(' / ')}`), advice);
  });
}
