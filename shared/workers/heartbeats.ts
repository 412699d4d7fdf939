import { HashReader, isTime } from '../records/hash-reader.js';
import type { RecordSource } from '../records/unreadable.js';
import { isWrongType } from '../redis/reply-errors.js';
import { MAINTENANCE_QUEUE } from '../schedule/schedule.js';
import { baseQueue } from '../task/shards.js';

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
  /** Whether it takes the maintenance queue, which is not among its `queues`. */
  readonly maintenance: boolean | null;
  /** Whether it shuts down. */
  readonly draining: boolean | null;
  /** Whether it fetches tasks: not while it is drained or shuts down. */
  readonly fetching: boolean | null;
  readonly subscribed: boolean | null;
  /** Stop latencies of the worker's tasks. */
  readonly stops: { readonly [Name in keyof StopLatencySummary]: number | null };
  /** Queues that it cannot fetch from, with the reasons. */
  readonly broken: readonly BrokenQueue[];
  /** Why the worker cannot write its log; null if it can. */
  readonly logError: string | null;
  /** How far the machine's clock is ahead of Redis', in ms; null if unknown. */
  readonly clockMs: number | null;
  /** Resident memory of its process, in bytes. */
  readonly memoryBytes: number | null;
  /** Used heap of its main thread and the heap's limit, in bytes. */
  readonly heapBytes: number | null;
  readonly heapLimitBytes: number | null;
  /** 99th percentile of the event loop's delay between the last two beats, in ms. */
  readonly loopDelayMs: number | null;
  /** Threads for isolated handlers. */
  readonly threads: number | null;
  /** Version of taskfleet. */
  readonly version: string | null;
  /** Version of Node.js. */
  readonly node: string | null;
  /** Digest of each of its definitions, by task name; null if it does not report them. */
  readonly definitions: Readonly<Record<string, string>> | null;
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

/** Returns whether a worker fetches tasks of a logical queue. Older versions of this package take the maintenance queue in any case. */
export function takesQueue({ queues, maintenance, draining, fetching }: WorkerRecord, queue: string): boolean {
  if (draining === true || fetching === false) return false;
  return queue === MAINTENANCE_QUEUE ? maintenance !== false : queues.some((name) => baseQueue(name) === queue);
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

/**
 * Parses a heartbeat.
 * @param score the time of the beat by the list of workers
 */
export function workerOf(id: string, score: string, fields: Readonly<Record<string, string>>): WorkerRecord {
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
      maintenance: beat.flag('maintenance'),
      draining: beat.flag('draining'),
      fetching: beat.flag('fetching'),
      subscribed: beat.flag('subscribed'),
    },
    stops: {
      count: beat.whole('stops'),
      p50Ms: beat.number('stop_p50_ms'),
      p99Ms: beat.number('stop_p99_ms'),
      maxMs: beat.number('stop_max_ms'),
    },
    ...{ broken: parseBrokenQueues(beat.text('broken')), clockMs: beat.signed('clock_ms'), logError: beat.text('log_error') },
    ...{ memoryBytes: beat.whole('memory_bytes'), heapBytes: beat.whole('heap_bytes'), heapLimitBytes: beat.whole('heap_limit_bytes') },
    ...{ loopDelayMs: beat.number('loop_delay_ms'), threads: beat.whole('threads') },
    ...{ version: beat.text('version'), node: beat.text('node'), definitions: digestsOf(beat.object('definitions')) },
    ...{ startedAt: beat.ms('started_at'), beatAt: beat.ms('beat_at') ?? beat.ms('score') },
  };
  return { ...worker, problem: beat.problem };
}

/** A worker whose heartbeat has the wrong type: whether it is alive is unknown. */
function unreadableWorker(id: string, score: string): WorkerRecord {
  const beatAt = isTime(Number(score)) ? Number(score) : null;
  return { ...workerOf(id, '', {}), alive: false, beatAt, problem: 'expected its heartbeat to be a hash' };
}

function digestsOf(definitions: Readonly<Record<string, unknown>> | null): Record<string, string> | null {
  if (definitions === null) return null;
  return Object.fromEntries(Object.entries(definitions).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
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
