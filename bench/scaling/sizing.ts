import type { UnitCosts } from './units.js';

/** What a fleet must do. */
export interface Demand {
  readonly tasksPerSecond: number;
  readonly liveTasks: number;
  readonly stopsPerSecond: number;
}

/** All that the sizing rests on: measured. */
export interface SizingBasis extends UnitCosts {
  /** CPU of a task's fetch, attempt and settlement in µs. */
  readonly process: { readonly redis: number; readonly node: number };
  /** Connections of a worker process to one Redis. */
  readonly connections: number;
}

/** What the demand needs: calculated. */
export interface Sizing {
  /** Redis CPU in cores. */
  readonly redisCores: number;
  /** Masters of a cluster, with the queues or shards spread over them; 1 for a single server. */
  readonly masters: number;
  readonly memoryBytes: number;
  readonly workers: number;
  readonly connections: number;
}

/** The handlers of the sizing table: they compute and wait. */
export const HANDLER = { cpuMs: 1, waitMs: 500, concurrency: 64 };
/** A core should not be busier, so that latency stays low. */
export const MOST_BUSY = 0.7;
export const DEMANDS: readonly Demand[] = [
  { tasksPerSecond: 100, liveTasks: 10_000, stopsPerSecond: 1 },
  { tasksPerSecond: 1_000, liveTasks: 100_000, stopsPerSecond: 10 },
  { tasksPerSecond: 5_000, liveTasks: 500_000, stopsPerSecond: 50 },
  { tasksPerSecond: 20_000, liveTasks: 1_000_000, stopsPerSecond: 200 },
  { tasksPerSecond: 50_000, liveTasks: 5_000_000, stopsPerSecond: 500 },
];

/** Calculates the fleet for a demand. docs/scaling.md states the formulas. */
export function sizeFleet({ tasksPerSecond, liveTasks, stopsPerSecond }: Demand, basis: SizingBasis): Sizing {
  const { enqueue, process, stop, idle, bytes, connections } = basis;
  const workerCores = tasksPerSecond * (process.node / 1e6 + HANDLER.cpuMs / 1e3);
  const slots = (tasksPerSecond * (HANDLER.cpuMs + HANDLER.waitMs)) / 1e3;
  const workers = Math.ceil(Math.max(workerCores / MOST_BUSY, slots / HANDLER.concurrency));
  const redisUs = tasksPerSecond * (enqueue.redis + process.redis) + stopsPerSecond * stop.redis + workers * idle;
  const redisCores = redisUs / 1e6;
  return {
    redisCores,
    masters: Math.ceil(redisCores / MOST_BUSY),
    memoryBytes: liveTasks * bytes,
    workers,
    connections: workers * connections,
  };
}
