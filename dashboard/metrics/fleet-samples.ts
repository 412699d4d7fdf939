import { Registry, collectDefaultMetrics } from 'prom-client';
import type { Producer } from '../../producer/index.js';
import { readReconcile } from '../../shared/records/reconcile.js';
import type { Store } from '../../shared/store.js';
import { readDrains } from '../../shared/workers/drains.js';
import { type WorkerRecord, readBeats } from '../../shared/workers/heartbeats.js';
import { readDifferences } from '../../shared/workers/published-definitions.js';
import { readUnserved } from '../../shared/workers/unserved.js';
import { type Sample, sample } from './exposition.js';

/** Returns worker metrics from the last heartbeats, what no worker takes, and the reconciler's last run. */
export async function workerSamples(store: Store): Promise<Sample[]> {
  const [{ alive, silent }, reconciled] = await Promise.all([readBeats(store), readReconcile(store)]);
  const [drains, unserved, differences] = await Promise.all([
    readDrains(store),
    readUnserved(store, alive),
    readDifferences(
      store,
      alive.filter(({ draining }) => draining !== true),
    ),
  ]);
  const sum = (count: (beat: WorkerRecord) => number): number => alive.reduce((total, beat) => total + count(beat), 0);
  return [
    sample('taskfleet_workers', alive.length),
    sample(
      'taskfleet_workers_subscribed',
      sum(({ subscribed }) => Number(subscribed)),
    ),
    sample(
      'taskfleet_workers_draining',
      sum(({ draining }) => Number(draining)),
    ),
    sample('taskfleet_workers_drained', alive.filter(({ id }) => drains.has(id)).length),
    sample('taskfleet_workers_silent', silent),
    sample('taskfleet_queues_unserved', alive.length === 0 ? 0 : unserved.queues.length),
    sample('taskfleet_definitions_differing', differences.length),
    sample(
      'taskfleet_slots',
      sum(({ slots }) => slots ?? 0),
    ),
    sample(
      'taskfleet_slots_busy',
      sum(({ running }) => running.length),
    ),
    sample(
      'taskfleet_zombies',
      sum(({ zombies }) => zombies ?? 0),
    ),
    sample('taskfleet_workers_clock_offset_seconds', Math.max(0, ...alive.map(({ clockMs }) => Math.abs(clockMs ?? 0))) / 1_000),
    ...(reconciled ? [sample('taskfleet_reconciler_last_run_timestamp_seconds', reconciled.at / 1_000)] : []),
  ];
}

/** Tolerates the latency of a busy fleet, which is not the schedule's fault; idle workers fetch a due task within about a second. */
const LATE_MS = 30_000;

/** Returns whether schedules have a next task and run on time. */
export async function scheduleSamples({ schedules }: Producer, { redis, keys, clock }: Store): Promise<Sample[]> {
  const list = (await schedules.list()).filter(({ problem }) => problem === null);
  const now = clock.now();
  const dues = list.flatMap(({ id, queue, nextAt, paused }) =>
    nextAt === null || queue === null
      ? []
      : [{ key: `${keys.jobs(queue)}repeat:${id}:${nextAt.getTime()}`, due: nextAt.getTime(), held: paused !== null }],
  );
  // A scheduler keeps its next due time even if the task itself was removed.
  const exists = await Promise.all(dues.map(({ key }) => redis.exists(key)));
  const withNext = dues.filter((_, index) => exists[index] === 1);
  return [
    sample('taskfleet_schedules', list.length),
    sample('taskfleet_schedules_without_next', list.length - withNext.length),
    sample('taskfleet_schedules_late', withNext.filter(({ due, held }) => !held && now - due > LATE_MS).length),
  ];
}

export interface RedisMemory {
  readonly usedBytes: number;
  /** 0 for no limit. */
  readonly maxBytes: number;
  /** The eviction policy. */
  readonly policy: string;
}

export async function readMemory({ redis }: Store): Promise<RedisMemory> {
  return memoryOf(await redis.info('memory'));
}

/** @param info the section `memory` of INFO */
export function memoryOf(info: string): RedisMemory {
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  return {
    usedBytes: Number(field('used_memory') ?? 0),
    maxBytes: Number(field('maxmemory') ?? 0),
    policy: field('maxmemory_policy') ?? 'unknown',
  };
}

export async function memorySamples(store: Store): Promise<Sample[]> {
  const { usedBytes, maxBytes } = await readMemory(store);
  return [sample('taskfleet_redis_memory_used_bytes', usedBytes), sample('taskfleet_redis_memory_max_bytes', maxBytes)];
}

let registry: Registry | null = null;

/**
 * Returns this process's memory, CPU and event-loop metrics from prom-client, under `taskfleet_dashboard_`. The registry is created on
 * first use and kept: prom-client's observers cannot be removed.
 */
export function processMetrics(): Promise<string> {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry, prefix: 'taskfleet_dashboard_' });
  }
  return registry.metrics();
}
