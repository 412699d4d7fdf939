import type { Topology } from '../options.js';

/** An action on a worker or on Redis, with its duration. */
export type Fault =
  /** SIGKILL; another process starts after `awayMs`. */
  | { readonly kind: 'worker-kill'; readonly worker: number; readonly awayMs: number }
  /** SIGTERM; another process starts `awayMs` after its end. */
  | { readonly kind: 'worker-term'; readonly worker: number; readonly awayMs: number }
  /** SIGSTOP, and SIGCONT after `forMs`: longer than the lock duration. */
  | { readonly kind: 'worker-freeze'; readonly worker: number; readonly forMs: number }
  /** SIGKILL, and a restart after `awayMs`: of the server, or with a failover of the master of the queue or the registry. */
  | { readonly kind: 'redis-kill'; readonly of: 'queue' | 'registry'; readonly awayMs: number }
  | { readonly kind: 'clients-kill'; readonly type: 'normal' | 'pubsub' | 'one'; readonly times: number }
  | { readonly kind: 'clients-pause'; readonly mode: 'ALL' | 'WRITE'; readonly forMs: number }
  /** Moves the slots of the queue and of the registry to another master. */
  | { readonly kind: 'slots-move' };
export type FaultKind = Fault['kind'];
export const FAULT_KINDS: readonly FaultKind[] = [
  'worker-kill',
  'worker-term',
  'worker-freeze',
  'redis-kill',
  'clients-kill',
  'clients-pause',
  'slots-move',
];

export type PlannedFault = Fault & {
  /** The start, in ms from the start of the load. An unfinished fault delays the next one of its lane. */
  readonly atMs: number;
};

/** Two lanes of consecutive faults, workers and Redis, run in parallel, so that faults also coincide. */
export interface Plan {
  readonly workers: readonly PlannedFault[];
  readonly redis: readonly PlannedFault[];
}

export interface PlanOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly topology: Topology;
  /** The number of workers. The first is never killed: its memory shows what many faults leave behind in one process. */
  readonly workers: number;
  /** The lock duration. */
  readonly lockMs: number;
}

/**
 * With failover, a server silent for 1.5 s counts as dead: a longer pause would give two masters for a while, and writes that the old
 * one accepts after it wakes are lost, acknowledged or not.
 */
const SHORT_PAUSE_MS = 800;

type Random = () => number;
type Draw = (random: Random) => Fault;

/** The time for load before the first fault, and for recovery after the last one. */
const MARGIN_MS = 5_000;
/** The pause between two faults of a lane: long enough for counts at rest. */
const GAP_MS = { workers: [10_000, 30_000], redis: [12_000, 35_000] } as const;

/** Returns the faults of a run. The same options give the same plan. */
export function planOf(options: PlanOptions): Plan {
  const { seed, workers, topology, lockMs } = options;
  // Each lane has its own random numbers, so that a change of one does not affect the other.
  const [forWorkers, forRedis] = [randomOf(seed), randomOf(seed ^ 0x9e37_79b9)];
  return {
    workers: lane(options, forWorkers, GAP_MS.workers, workerFaults(workers, lockMs)),
    redis: lane(options, forRedis, GAP_MS.redis, redisFaults(topology)),
  };
}

function lane({ minutes }: PlanOptions, random: Random, [least, most]: readonly [number, number], draws: readonly Draw[]): PlannedFault[] {
  const endMs = minutes * 60_000 - MARGIN_MS;
  const planned: PlannedFault[] = [];
  for (let atMs = MARGIN_MS + random() * least; ;) {
    const fault = pick(random, draws)(random);
    const lastsMs = lengthOf(fault);
    if (atMs + lastsMs > endMs) return planned;
    planned.push({ atMs: Math.round(atMs), ...fault });
    atMs += lastsMs + between(random, least, most);
  }
}

function lengthOf(fault: Fault): number {
  if ('awayMs' in fault) return fault.awayMs;
  return 'forMs' in fault ? fault.forMs : 0;
}

function workerFaults(workers: number, lockMs: number): Draw[] {
  const anyone = (random: Random): number => Math.floor(random() * workers);
  const mortal = (random: Random): number => 1 + Math.floor(random() * (workers - 1));
  return [
    (random) => ({ kind: 'worker-kill', worker: mortal(random), awayMs: between(random, 0, 3_000) }),
    (random) => ({ kind: 'worker-term', worker: mortal(random), awayMs: between(random, 0, 3_000) }),
    (random) => ({ kind: 'worker-freeze', worker: anyone(random), forMs: between(random, lockMs + 1_000, lockMs + 4_000) }),
  ];
}

function redisFaults(topology: Topology): Draw[] {
  return [
    (random) => ({ kind: 'redis-kill', of: pick(random, ['queue', 'registry'] as const), awayMs: between(random, 0, 3_000) }),
    (random) => ({ kind: 'clients-kill', type: pick(random, ['normal', 'pubsub', 'one'] as const), times: between(random, 1, 20) }),
    (random) => ({
      kind: 'clients-pause',
      mode: pick(random, ['ALL', 'WRITE'] as const),
      forMs: between(random, 200, topology === 'standalone' ? 6_000 : SHORT_PAUSE_MS),
    }),
    ...(topology === 'cluster' ? [() => ({ kind: 'slots-move' }) as const] : []),
  ];
}

function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[Math.floor(random() * values.length)] as Value;
}

/** Returns an integer from `least` to `most`. */
function between(random: Random, least: number, most: number): number {
  return Math.round(least + random() * (most - least));
}

/** mulberry32: a generator with 32 bits of state and numbers from 0 to below 1. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
