import type { Topology } from './options.js';

/** What is done to a worker or to Redis, and for how long. */
export type Fault =
  /** SIGKILL; another process takes its place after `awayMs`. */
  | { readonly kind: 'worker-kill'; readonly worker: number; readonly awayMs: number }
  /** SIGTERM; another process takes its place `awayMs` after its end. */
  | { readonly kind: 'worker-term'; readonly worker: number; readonly awayMs: number }
  /** SIGSTOP, SIGCONT after `forMs`: longer than locks hold. */
  | { readonly kind: 'worker-freeze'; readonly worker: number; readonly forMs: number }
  /** SIGKILL, and a restart after `awayMs`: of the server, or with its failover of the master of the queue or of the registry. */
  | { readonly kind: 'redis-kill'; readonly of: 'queue' | 'registry'; readonly awayMs: number }
  | { readonly kind: 'clients-kill'; readonly type: 'normal' | 'pubsub' | 'one'; readonly times: number }
  | { readonly kind: 'clients-pause'; readonly mode: 'ALL' | 'WRITE'; readonly forMs: number }
  /** The slots of the queue and of the registry move to another master. */
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
  /** From the beginning of the load, in ms. A fault that is not over then holds up the next one of its lane. */
  readonly atMs: number;
};

/** Faults of workers and faults of Redis come one after the other each, but beside one another: so they also coincide. */
export interface Plan {
  readonly workers: readonly PlannedFault[];
  readonly redis: readonly PlannedFault[];
}

export interface PlanOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly topology: Topology;
  /** How many workers there are. The first is never killed: its memory tells what many faults leave in one process. */
  readonly workers: number;
  /** How long a silent worker keeps its tasks. */
  readonly lockMs: number;
}

/**
 * Where others take a server that is silent for 1.5 s for dead: a longer pause would have two masters for a while, and what
 * the old one takes when it wakes is lost, acknowledged or not.
 */
const SHORT_PAUSE_MS = 800;

type Random = () => number;
type Draw = (random: Random) => Fault;

/** Before the first fault there is something to do, and after the last one time to recover. */
const MARGIN_MS = 5_000;
/** From the beginning of a fault to the next of its lane, beside what it takes: quiet enough that counts at rest are seen. */
const GAP_MS = { workers: [10_000, 30_000], redis: [12_000, 35_000] } as const;

/** The faults of a run. The same options make the same plan. */
export function planOf(options: PlanOptions): Plan {
  const { seed, workers, topology, lockMs } = options;
  // Each lane has numbers of its own, so that a change of one leaves the other as it was.
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

/** A whole number from `least` to `most`. */
function between(random: Random, least: number, most: number): number {
  return Math.round(least + random() * (most - least));
}

/** mulberry32: 32 bits of state, numbers from 0 to below 1. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
