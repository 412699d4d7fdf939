import { isTime } from '../records/hash-reader.js';
import type { RecordSource } from '../records/unreadable.js';

/** The request that a worker stops fetching tasks. */
export interface WorkerDrain {
  /** Null if unknown. */
  readonly by: string | null;
  /** In ms since the epoch; null if unknown. */
  readonly at: number | null;
  readonly reason: string | null;
}

/**
 * What Redis says about the drain of a worker: a drain, `resumed`, or null if there is no record. Without a record a worker keeps its
 * state: Redis may have lost the record in a failover.
 */
export type DrainRecord = WorkerDrain | 'resumed' | null;

const RESUMED = '{"resumed":true}';

/** Formats the record of a drain, or of its end. */
export function formatDrain(drain: WorkerDrain | 'resumed'): string {
  return drain === 'resumed' ? RESUMED : JSON.stringify(drain);
}

/** Parses the record of a drain. A record that cannot be read counts as a drain without details: somebody asked for something. */
export function parseDrain(text: string | null): DrainRecord {
  if (text === null) return null;
  try {
    const { resumed, by, at, reason } = (JSON.parse(text) ?? {}) as Record<string, unknown>;
    if (resumed === true) return 'resumed';
    const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
    return { by: textOf(by), at: isTime(at) ? (at as number) : null, reason: textOf(reason) };
  } catch {
    return { by: null, at: null, reason: null };
  }
}

/** Reads the drains of all workers by id; a resumed worker is left out. */
export async function readDrains({ redis, keys, unreadable }: RecordSource): Promise<Map<string, WorkerDrain>> {
  const records = await unreadable.read(keys.workerDrains, 'hash', redis.hgetall(keys.workerDrains), {});
  return new Map(
    Object.entries(records).flatMap(([id, text]) => {
      const drain = parseDrain(text);
      return drain === null || drain === 'resumed' ? [] : [[id, drain] as const];
    }),
  );
}
