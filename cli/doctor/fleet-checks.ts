import type { Redis } from 'ioredis';
import type { Keys } from '../../shared/keys.js';
import { formatAge } from '../age.js';
import { type Check, ok, warn } from './check.js';

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
  readonly beatAgeMs: number;
}

export interface FleetReport {
  readonly checks: readonly Check[];
  readonly workers: readonly WorkerInfo[];
}

/** Who works, and on how much. */
export async function checkFleet(redis: Redis, keys: Keys): Promise<FleetReport> {
  const ids = await redis.zrange(keys.workers, '0', '-1');
  const beats = await Promise.all(ids.map((id) => redis.hgetall(keys.worker(id))));
  const now = Date.now();
  const workers = beats.flatMap((beat, index) => (beat['beat_at'] === undefined ? [] : [workerOf(ids[index] as string, beat, now)]));
  const live = await redis.hlen(keys.tasks);
  const [, oldestAt] = await redis.zrange(keys.live, '0', '0', 'WITHSCORES');
  const checks = [
    ...workers.map(checkWorker),
    ...checkCount(workers.length, ids.length - workers.length, live),
    ok('tasks', live === 0 ? 'none live' : `${live} live${oldestAt === undefined ? '' : `, the oldest for ${formatAge(now - Number(oldestAt))}`}`),
  ];
  return { checks, workers };
}

function workerOf(id: string, beat: Readonly<Record<string, string>>, now: number): WorkerInfo {
  const number = (name: string): number => Number(beat[name] ?? 0);
  return {
    id,
    host: beat['host'] ?? '',
    pid: number('pid'),
    slots: number('slots'),
    running: countOf(beat['running']),
    zombies: number('zombies'),
    draining: beat['draining'] === '1',
    subscribed: beat['subscribed'] === '1',
    beatAgeMs: Math.max(0, now - number('beat_at')),
  };
}

function countOf(json: string | undefined): number {
  try {
    const list: unknown = JSON.parse(json ?? '[]');
    return Array.isArray(list) ? list.length : 0;
  } catch {
    return 0;
  }
}

function checkWorker(worker: WorkerInfo): Check {
  const { host, pid, running, slots, zombies, draining, subscribed, beatAgeMs } = worker;
  const state = `${draining ? ', draining' : ''}${subscribed ? '' : ', does not hear stop messages'}${zombies > 0 ? `, ${zombies} given up` : ''}`;
  const message = `${host} pid ${pid}: ${running} of ${slots} slots busy${state}, heartbeat ${formatAge(beatAgeMs)} ago`;
  if (!subscribed && !draining) return warn('worker', message, 'Stops still land there, but only as it polls for them. Look at its connection to Redis.');
  if (zombies > 0) return warn('worker', message, 'Handlers that ignore their abort signal still run in that process: pass the signal on, or isolate them.');
  return ok('worker', message);
}

function checkCount(alive: number, silent: number, live: number): Check[] {
  const checks: Check[] = [];
  if (alive === 0) checks.push(warn('workers', live > 0 ? `none alive, and ${live} tasks wait` : 'none alive', 'Start some: taskfleet up, or taskfleet worker'));
  if (silent > 0) checks.push(warn('workers', `${silent} fell silent within the last hour without a farewell`, 'They were killed or lost their connection. What they ran goes to the others.'));
  return checks;
}
