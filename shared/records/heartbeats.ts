import type { Keys } from '../keys.js';
import type { RedisConnection } from '../redis/connection.js';
import { type BrokenQueue, parseBrokenQueues } from '../task/queues.js';
import { HashReader, isTime } from './hash-reader.js';
import type { RecordSource, Unreadable } from './unreadable.js';

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
  readonly stops: {
    readonly count: number | null;
    readonly p50Ms: number | null;
    readonly p99Ms: number | null;
    readonly maxMs: number | null;
  };
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

interface WorkerRecords {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly unreadable: Unreadable;
}

/** Returns the ids of workers that were alive within the last hour, did not sign off, and whose heartbeat has expired. */
export async function deadWorkers({ redis, keys, unreadable }: WorkerRecords): Promise<string[]> {
  const known = await unreadable.read(keys.workers, 'sorted set', redis.zrange(keys.workers, '0', '-1'), []);
  const alive = await Promise.all(known.map((id) => redis.exists(keys.worker(id))));
  return known.filter((_, index) => alive[index] === 0);
}
