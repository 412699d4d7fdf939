import { hostname } from 'node:os';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { LogLosses } from '../log-sink.js';
import { isWrongType } from '../redis/reply-errors.js';
import { HashReader, isTime } from './hash-reader.js';
import { type RecordSource, wrongType } from './unreadable.js';

/** The status that a worker reports in its heartbeats. */
export interface WorkerStatus {
  readonly pid: number;
  readonly queues: readonly string[];
  readonly slots: number;
  readonly running: readonly string[];
  readonly zombies: number;
  readonly draining: boolean;
  readonly subscribed: boolean;
  /** Queue workers that stalled while tasks were waiting, and were replaced. */
  readonly replaced: number;
  /** Queues that cannot be fetched from, each with the reason and the repair. */
  readonly broken: readonly BrokenQueue[];
  /** Connections to Redis, without the one or two of a producer that the handlers enqueue with. */
  readonly connections: number;
  /** Of stopped tasks that ran on this worker. */
  readonly stopLatency: StopLatencySummary;
  readonly log: LogLosses;
}

/** Stop latencies of the latest tasks that were stopped. */
export interface StopLatencySummary {
  /** All stops since the worker's start. */
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** A queue that a worker cannot fetch from, by its heartbeat, with the problem and the repair. */
export interface BrokenQueue {
  readonly queue: string;
  readonly problem: string;
}

/** Hashes of input schemas, by task name. */
export type Schemas = Readonly<Record<string, string>>;

/** The constant part of a worker's heartbeats. */
interface HeartbeatSource {
  readonly workerId: string;
  readonly intervalMs: number;
  readonly schemas: Schemas;
  /** By performance.now. */
  readonly startedAt: number;
}

/** Missed beats after which a worker's hash expires. */
const BEATS_KEPT = 3;
/** Workers silent for this long are removed from the list. */
const FORGET_AFTER_MS = 3_600_000;

interface HeartbeatStore extends RecordSource {
  readonly clock: FleetClock;
}

/** Writes a worker's heartbeat, and lists the worker and its queues. Reports keys of the wrong type. */
export async function writeHeartbeat(store: HeartbeatStore, source: HeartbeatSource, status: WorkerStatus): Promise<void> {
  const { redis, keys, clock, unreadable } = store;
  const { workerId, intervalMs } = source;
  const now = clock.now();
  const key = keys.worker(workerId);
  const pipeline = redis.pipeline();
  pipeline.zadd(keys.workers, now, workerId).zremrangebyscore(keys.workers, 0, now - FORGET_AFTER_MS);
  pipeline.hset(key, fieldsOf(source, status, now, clock.skewMs)).pexpire(key, intervalMs * BEATS_KEPT);
  pipeline.sadd(keys.queues, ...status.queues);
  const replies = await pipeline.exec();
  const [ofWorkers, , ofWorker, , ofQueues] = (replies ?? []).map(([error]) => error);
  if (isWrongType(ofWorkers)) unreadable.report({ key: keys.workers, problem: wrongType('sorted set') });
  if (isWrongType(ofWorker)) unreadable.report({ key, problem: wrongType('hash') });
  if (isWrongType(ofQueues)) unreadable.report({ key: keys.queues, problem: wrongType('set') });
}

/** Removes a worker that signs off. */
export async function removeHeartbeat({ redis, keys }: Pick<RecordSource, 'redis' | 'keys'>, workerId: string): Promise<void> {
  await redis.pipeline().zrem(keys.workers, workerId).del(keys.worker(workerId)).exec();
}

/** The fields that {@link workerOf} reads; `replaced`, `connections` and `log_lost` are for people who look into Redis. */
function fieldsOf(
  { startedAt, schemas }: HeartbeatSource,
  { queues, running, broken, draining, subscribed, stopLatency, log, ...counts }: WorkerStatus,
  now: number,
  clockMs: number,
): Record<string, string | number> {
  return {
    host: hostname(),
    ...counts,
    started_at: Math.round(now - performance.now() + startedAt),
    beat_at: now,
    clock_ms: clockMs,
    queues: JSON.stringify(queues),
    running: JSON.stringify(running),
    draining: Number(draining),
    subscribed: Number(subscribed),
    broken: JSON.stringify(broken),
    stops: stopLatency.count,
    stop_p50_ms: stopLatency.p50Ms ?? '',
    stop_p99_ms: stopLatency.p99Ms ?? '',
    stop_max_ms: stopLatency.maxMs ?? '',
    log_lost: log.lost,
    log_error: log.error ?? '',
    schemas: JSON.stringify(schemas),
  };
}

/** A worker's last heartbeat. A missing or unreadable field is null. */
export interface WorkerRecord {
  readonly id: string;
  /** False for a worker that stopped beating within the last hour without signing off. */
  readonly alive: boolean;
  readonly host: string | null;
  readonly pid: number | null;
  readonly queues: readonly string[];
  readonly slots: number | null;
  /** Ids of tasks. */
  readonly running: readonly string[];
  readonly zombies: number | null;
  readonly draining: boolean | null;
  readonly subscribed: boolean | null;
  /** Stop latencies of the worker's tasks. */
  readonly stops: { readonly [Name in keyof StopLatencySummary]: number | null };
  /** Queues that it cannot fetch from, with the reasons. */
  readonly broken: readonly BrokenQueue[];
  /** Why the worker cannot write its log; null if it can. */
  readonly logError: string | null;
  /** How far the machine's clock is ahead of Redis', in ms; null if unknown. */
  readonly clockMs: number | null;
  /** In ms since the epoch. */
  readonly startedAt: number | null;
  /** Time of the last heartbeat, in ms since the epoch. */
  readonly beatAt: number | null;
  /** What is unreadable in the record; null if nothing is. */
  readonly problem: string | null;
}

/** The workers that beat, and how many do not. */
export interface Beats {
  readonly alive: readonly WorkerRecord[];
  /** Workers lost within the last hour: their heartbeats stopped without a shutdown. */
  readonly silent: number;
}

/** More than any fleet has; a limit in case another program writes to the list. */
const MAX_WORKERS = 2_000;

/** Reads the last heartbeats, oldest first; of more than 2,000 workers, the latest. */
export async function readWorkers({ redis, keys, unreadable }: RecordSource): Promise<WorkerRecord[]> {
  const flat = await unreadable.read(
    keys.workers,
    'sorted set',
    redis.zrange(keys.workers, '0', String(MAX_WORKERS - 1), 'REV', 'WITHSCORES'),
    [],
  );
  // Back to oldest first.
  const beats = flat.flatMap((id, index) => (index % 2 === 0 ? [{ id, score: flat[index + 1] as string }] : [])).toReversed();
  return Promise.all(
    beats.map(async ({ id, score }) => {
      const key = keys.worker(id);
      const fields = await unreadable.read(key, 'hash', redis.hgetall(key), null);
      const worker = fields === null ? unreadableWorker(id, score) : workerOf(id, score, fields);
      if (fields !== null && worker.problem !== null) unreadable.report({ key, problem: worker.problem });
      return worker;
    }),
  );
}

/** Reads all workers by their last heartbeats. Unreadable heartbeats are reported and not counted. */
export async function readBeats(source: RecordSource): Promise<Beats> {
  const workers = await readWorkers(source);
  const alive = workers.filter((worker) => worker.alive);
  return { alive, silent: workers.filter((worker) => !worker.alive && worker.problem === null).length };
}

/** Returns the ids of workers that were alive within the last hour, did not sign off, and whose heartbeat has expired. */
export async function deadWorkers({ redis, keys, unreadable }: RecordSource): Promise<string[]> {
  const known = await unreadable.read(keys.workers, 'sorted set', redis.zrange(keys.workers, '0', '-1'), []);
  const alive = await Promise.all(known.map((id) => redis.exists(keys.worker(id))));
  return known.filter((_, index) => alive[index] === 0);
}

/** Reads the input schemas of the live workers that are not draining. If the list has a wrong type, no worker is known. */
export async function readSchemas({ redis, keys }: Pick<RecordSource, 'redis' | 'keys'>, except: string): Promise<Schemas[]> {
  const ids = await redis.zrevrange(keys.workers, 0, MAX_WORKERS - 1).catch((error: unknown) => {
    if (isWrongType(error)) return [];
    throw error;
  });
  const pipeline = redis.pipeline();
  // The hash of a dead worker expires soon after its last heartbeat.
  for (const id of ids) if (id !== except) pipeline.hmget(keys.worker(id), 'schemas', 'draining');
  const beats = (await pipeline.exec()) ?? [];
  return beats.flatMap(([error, beat]) => {
    const [schemas, draining] = (error === null ? beat : []) as (string | null)[];
    return draining === '1' ? [] : [parseSchemas(schemas)];
  });
}

function workerOf(id: string, score: string, fields: Readonly<Record<string, string>>): WorkerRecord {
  const beat = new HashReader({ ...fields, score });
  const worker = {
    ...{
      id,
      alive: Object.keys(fields).length > 0,
      host: beat.text('host'),
      pid: beat.whole('pid'),
      queues: beat.strings('queues'),
      slots: beat.whole('slots'),
    },
    ...{
      running: beat.strings('running'),
      zombies: beat.whole('zombies'),
      draining: beat.flag('draining'),
      subscribed: beat.flag('subscribed'),
    },
    stops: {
      count: beat.whole('stops'),
      p50Ms: beat.number('stop_p50_ms'),
      p99Ms: beat.number('stop_p99_ms'),
      maxMs: beat.number('stop_max_ms'),
    },
    ...{ broken: parseBrokenQueues(beat.text('broken')), clockMs: beat.signed('clock_ms'), logError: beat.text('log_error') },
    ...{ startedAt: beat.ms('started_at'), beatAt: beat.ms('beat_at') ?? beat.ms('score') },
  };
  return { ...worker, problem: beat.problem };
}

/** A worker whose heartbeat has the wrong type: whether it is alive is unknown. */
function unreadableWorker(id: string, score: string): WorkerRecord {
  return {
    ...{ id, alive: false, host: null, pid: null, queues: [], slots: null, running: [], zombies: null, draining: null, subscribed: null },
    ...{ stops: { count: null, p50Ms: null, p99Ms: null, maxMs: null }, broken: [], clockMs: null, logError: null },
    ...{ startedAt: null, beatAt: isTime(Number(score)) ? Number(score) : null, problem: 'expected its heartbeat to be a hash' },
  };
}

/** Parses the field `broken` of a heartbeat; an invalid list is empty. */
function parseBrokenQueues(json: string | null | undefined): BrokenQueue[] {
  try {
    const list: unknown = JSON.parse(json ?? '[]');
    return Array.isArray(list) ? list.filter(isBrokenQueue) : [];
  } catch {
    return [];
  }
}

function isBrokenQueue(value: unknown): value is BrokenQueue {
  const { queue, problem } = (value ?? {}) as Partial<BrokenQueue>;
  return typeof queue === 'string' && typeof problem === 'string';
}

function parseSchemas(text: string | null | undefined): Schemas {
  try {
    const schemas: unknown = JSON.parse(text ?? '{}');
    return typeof schemas === 'object' && schemas !== null ? (schemas as Schemas) : {};
  } catch {
    return {};
  }
}
