import type { LastLine } from '../log/last-line.js';
import type { RecordSource } from '../records/unreadable.js';
import { type WorkerRecord, workerOf } from './heartbeats.js';

/** How long the record of a worker is kept after its last heartbeat, in ms. */
export const KEPT_MS = 7 * 86_400_000;
/** Most records of dead workers. */
const MAX_DEAD = 200;
/** Most ids of tasks in a record. */
const MAX_RUNNING = 200;
/** Most ids read from the list of records. */
const MAX_READ = 4_000;
/** Fields of a heartbeat that stay in the record. */
const FIELDS = ['host', 'pid', 'queues', 'maintenance', 'slots', 'started_at', 'beat_at', 'memory_bytes', 'heap_bytes', 'heap_limit_bytes'];
const MORE_FIELDS = ['loop_delay_ms', 'threads', 'version', 'node', 'zombies', 'draining', 'fetching'];
/** An error counts as last words if the worker logged it within this time before its last heartbeat, in ms. */
const RECENT_MS = 60_000;
/** A heap this full at the last heartbeat explains a death, as part of its limit. */
const FULL_HEAP = 0.9;
const MB = 1_048_576;

/** What is kept of a dead worker. */
export interface LastRecord {
  readonly worker: WorkerRecord;
  /** Null if it left none. */
  readonly words: string | null;
}

/** Returns the fields of a worker's record, from those of its heartbeat. */
export function lastFieldsOf(
  heartbeat: Readonly<Record<string, string | number>>,
  running: readonly string[],
  line: LastLine | null,
): Record<string, string | number> {
  const kept = Object.fromEntries([...FIELDS, ...MORE_FIELDS].map((name) => [name, heartbeat[name] ?? '']));
  return {
    ...kept,
    running: JSON.stringify(running.slice(0, MAX_RUNNING)),
    line: line?.text ?? '',
    line_level: line?.level ?? '',
    // How long before the heartbeat the process logged the line.
    line_age_ms: line === null ? '' : Math.round(performance.now() - line.at),
  };
}

/** Writes the last line of a worker that is about to end into its record. */
export async function writeLastLine({ redis, keys }: Pick<RecordSource, 'redis' | 'keys'>, id: string, text: string): Promise<void> {
  const key = keys.lastWorker(id);
  await redis.pipeline().hset(key, { line: text, line_level: 'fatal', line_age_ms: 0 }).pexpire(key, KEPT_MS).exec();
}

/** Reads the records of dead workers. */
export async function readLastRecords(source: RecordSource, live: ReadonlySet<string>): Promise<LastRecord[]> {
  const { redis, keys, unreadable } = source;
  const ids = await unreadable.read(keys.lastWorkers, 'sorted set', redis.zrange(keys.lastWorkers, '0', String(MAX_READ - 1), 'REV'), []);
  const dead = ids.filter((id) => !live.has(id)).slice(0, MAX_DEAD);
  const records = await Promise.all(
    dead.map(async (id) => {
      const key = keys.lastWorker(id);
      const fields = await unreadable.read(key, 'hash', redis.hgetall(key), {});
      // A trimmed record, or a key of the wrong type.
      if (Object.keys(fields).length === 0) return null;
      const worker = { ...workerOf(id, '', fields), alive: false };
      if (worker.problem !== null) unreadable.report({ key, problem: worker.problem });
      return { worker, words: wordsOf(worker, fields) };
    }),
  );
  return records.filter((record) => record !== null);
}

function wordsOf({ heapBytes, heapLimitBytes }: WorkerRecord, fields: Readonly<Record<string, string>>): string | null {
  const { line = '', line_level: level, line_age_ms: age = '' } = fields;
  if (line !== '' && (level === 'fatal' || Number(age) <= RECENT_MS)) return line;
  if (heapBytes === null || heapLimitBytes === null || heapBytes < FULL_HEAP * heapLimitBytes) return null;
  return `heartbeats stopped; its heap was almost full (${Math.round(heapBytes / MB)} of ${Math.round(heapLimitBytes / MB)} MB)`;
}

/** Removes the records of dead workers beyond the latest 200, and their drains. Workers do so whenever they publish their definitions. */
export async function trimLastRecords({ redis, keys, unreadable }: RecordSource): Promise<void> {
  const ids = await unreadable.read(keys.lastWorkers, 'sorted set', redis.zrange(keys.lastWorkers, '0', '-1', 'REV'), []);
  const drained = await unreadable.read(keys.workerDrains, 'hash', redis.hkeys(keys.workerDrains), []);
  const known = [...new Set([...ids, ...drained])];
  const alive = await Promise.all(known.map((id) => redis.exists(keys.worker(id))));
  const dead = new Set(known.filter((_, index) => alive[index] === 0));
  const surplus = ids.filter((id) => dead.has(id)).slice(MAX_DEAD);
  const ended = drained.filter((id) => dead.has(id));
  if (surplus.length > 0)
    await redis
      .pipeline()
      .zrem(keys.lastWorkers, ...surplus)
      .del(...surplus.map((id) => keys.lastWorker(id)))
      .exec();
  if (ended.length > 0) await redis.hdel(keys.workerDrains, ...ended);
}
