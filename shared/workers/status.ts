import { hostname } from 'node:os';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { LastLine } from '../log/last-line.js';
import type { LogLosses } from '../log/log-sink.js';
import { type KeyType, type RecordSource, wrongType } from '../records/unreadable.js';
import { isWrongType } from '../redis/reply-errors.js';
import { type DrainRecord, parseDrain } from './drains.js';
import type { BrokenQueue, Schemas, StopLatencySummary } from './heartbeats.js';
import { KEPT_MS, lastFieldsOf } from './last-records.js';

/** The status that a worker reports in its heartbeats. */
export interface WorkerStatus {
  readonly pid: number;
  readonly queues: readonly string[];
  /** Whether it takes the maintenance queue, which is not among its `queues`. */
  readonly maintenance: boolean;
  readonly slots: number;
  readonly running: readonly string[];
  readonly zombies: number;
  /** Whether it shuts down. */
  readonly draining: boolean;
  /** Whether it fetches tasks: not while it is drained or shuts down. */
  readonly fetching: boolean;
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

/** Measurements of a worker's process. */
export interface Vitals {
  /** Resident memory, in bytes; null if unknown. */
  readonly memoryBytes: number | null;
  /** Used heap of the main thread and the heap's limit, in bytes. */
  readonly heapBytes: number;
  readonly heapLimitBytes: number;
  /** 99th percentile of the event loop's delay since the last measurement, in ms. */
  readonly loopDelayMs: number;
  /** Threads for isolated handlers. */
  readonly threads: number;
}

/** The constant part of a worker's heartbeats. */
export interface HeartbeatSource {
  readonly workerId: string;
  readonly intervalMs: number;
  readonly schemas: Schemas;
  /** Digest of each definition, by task name. */
  readonly definitions: Readonly<Record<string, string>>;
  /** Version of taskfleet. */
  readonly version: string;
  /** Version of Node.js; null if unknown. */
  readonly node: string | null;
  /** By performance.now. */
  readonly startedAt: number;
}

/** Missed beats after which a worker's hash expires. */
const BEATS_KEPT = 3;
/** Workers silent for this long are removed from the list. */
const FORGET_AFTER_MS = 3_600_000;
/** Position of the drain among the replies to a heartbeat. */
const DRAIN = 4;

interface HeartbeatStore extends RecordSource {
  readonly clock: FleetClock;
}

/** What a heartbeat says. */
export interface Beat {
  readonly status: WorkerStatus;
  readonly vitals: Vitals;
  /** The last error that the process logged; null for none. */
  readonly lastLine: LastLine | null;
}

/**
 * Writes a worker's heartbeat and its lasting record, and lists the worker and its queues. Reports keys of the wrong type. Returns the record
 * of its drain.
 */
export async function writeHeartbeat(
  store: HeartbeatStore,
  source: HeartbeatSource,
  { status, vitals, lastLine }: Beat,
): Promise<DrainRecord> {
  const { redis, keys, clock, unreadable } = store;
  const { workerId, intervalMs } = source;
  const now = clock.now();
  const [key, last] = [keys.worker(workerId), keys.lastWorker(workerId)];
  const fields = { ...fieldsOf(source, status, now, clock.skewMs), ...fieldsOfVitals(vitals) };
  const pipeline = redis
    .pipeline()
    .zadd(keys.workers, now, workerId)
    .hset(key, fields)
    .zadd(keys.lastWorkers, now, workerId)
    .hset(last, lastFieldsOf(fields, status.running, lastLine))
    .hget(keys.workerDrains, workerId)
    .zremrangebyscore(keys.workers, 0, now - FORGET_AFTER_MS)
    .zremrangebyscore(keys.lastWorkers, 0, now - KEPT_MS)
    .pexpire(key, intervalMs * BEATS_KEPT)
    .pexpire(last, KEPT_MS);
  if (status.queues.length > 0) pipeline.sadd(keys.queues, ...status.queues);
  const replies = await pipeline.exec();
  const written: readonly (readonly [key: string, type: KeyType])[] = [
    [keys.workers, 'sorted set'],
    [key, 'hash'],
    [keys.lastWorkers, 'sorted set'],
    [last, 'hash'],
    [keys.workerDrains, 'hash'],
  ];
  written.forEach(([name, type], index) => {
    if (isWrongType(replies?.[index]?.[0])) unreadable.report({ key: name, problem: wrongType(type) });
  });
  if (isWrongType(replies?.at(-1)?.[0])) unreadable.report({ key: keys.queues, problem: wrongType('set') });
  const drain = replies?.[DRAIN]?.[1];
  return parseDrain(typeof drain === 'string' ? drain : null);
}

/** Removes a worker that signs off. Its record stays if it ended by a fault. */
export async function removeHeartbeat(
  { redis, keys }: Pick<RecordSource, 'redis' | 'keys'>,
  workerId: string,
  { failed }: { readonly failed: boolean },
): Promise<void> {
  const pipeline = redis.pipeline().zrem(keys.workers, workerId).del(keys.worker(workerId)).hdel(keys.workerDrains, workerId);
  if (!failed) pipeline.zrem(keys.lastWorkers, workerId).del(keys.lastWorker(workerId));
  await pipeline.exec();
}

/** The fields that `workerOf` reads; `replaced`, `connections` and `log_lost` are for people who look into Redis. */
function fieldsOf(
  { startedAt, schemas, definitions, version, node }: HeartbeatSource,
  { queues, running, broken, maintenance, draining, fetching, subscribed, stopLatency, log, ...counts }: WorkerStatus,
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
    maintenance: Number(maintenance),
    draining: Number(draining),
    fetching: Number(fetching),
    subscribed: Number(subscribed),
    broken: JSON.stringify(broken),
    stops: stopLatency.count,
    stop_p50_ms: stopLatency.p50Ms ?? '',
    stop_p99_ms: stopLatency.p99Ms ?? '',
    stop_max_ms: stopLatency.maxMs ?? '',
    log_lost: log.lost,
    log_error: log.error ?? '',
    schemas: JSON.stringify(schemas),
    definitions: JSON.stringify(definitions),
    version,
    node: node ?? '',
  };
}

function fieldsOfVitals({ memoryBytes, heapBytes, heapLimitBytes, loopDelayMs, threads }: Vitals): Record<string, string | number> {
  return {
    memory_bytes: memoryBytes ?? '',
    heap_bytes: heapBytes,
    heap_limit_bytes: heapLimitBytes,
    loop_delay_ms: loopDelayMs,
    threads,
  };
}
