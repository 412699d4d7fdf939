import { isName, quote } from '../keys.js';
import { MAX_REASON_LENGTH, shortened } from '../limits.js';
import { isTime } from '../records/hash-reader.js';
import type { RecordSource } from '../records/unreadable.js';

/** Who paused a queue, when and why. Nulls: BullMQ, Bull Board or another client paused it. */
export interface Pause {
  readonly by: string | null;
  readonly at: Date | null;
  readonly reason: string | null;
}

/** The record of a pause, beside BullMQ's own flag of each shard. */
export interface PauseRecord extends Pause {
  readonly at: Date;
  /** The BullMQ queues that this pause covers, as far as they are paused yet. */
  readonly shards: readonly string[];
}

/** The pause of a queue that another client paused. */
export const FOREIGN_PAUSE: Pause = { by: null, at: null, reason: null };

export function formatPause({ by, at, reason, shards }: PauseRecord): string {
  return JSON.stringify({ by, at: at.getTime(), reason, shards });
}

/** Parses the record of a pause; null for anything else. */
export function parsePause(text: string): PauseRecord | null {
  try {
    const { by, at, reason, shards } = (JSON.parse(text) ?? {}) as Record<string, unknown>;
    if (!isTime(at) || !Array.isArray(shards)) return null;
    return { by: textOf(by), at: new Date(at as number), reason: textOf(reason), shards: shards.filter(isName) };
  } catch {
    return null;
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? shortened(value, MAX_REASON_LENGTH) : null;
}

/** Returns the pause of a paused BullMQ queue: that of the record, unless somebody resumed and paused the queue since. */
export function pauseOf(record: PauseRecord | null, shard: string): Pause {
  return record !== null && (record.shards.length === 0 || record.shards.includes(shard)) ? record : FOREIGN_PAUSE;
}

/** Reads the record of a logical queue's pause. Reports an unreadable one. */
export async function readPause(source: RecordSource, queue: string): Promise<PauseRecord | null> {
  const { redis, keys, unreadable } = source;
  const text = await unreadable.read(keys.pausedQueues, 'hash', redis.hget(keys.pausedQueues, queue), null);
  return text === null ? null : readable(source, queue, text);
}

/** A record with its text in Redis. */
export interface StoredPause {
  readonly record: PauseRecord;
  readonly text: string;
}

/** Reads the records of all pauses by logical queue. Reports unreadable ones. */
export async function readPauses(source: RecordSource): Promise<Map<string, StoredPause>> {
  const { redis, keys, unreadable } = source;
  const stored = await unreadable.read(keys.pausedQueues, 'hash', redis.hgetall(keys.pausedQueues), {});
  return new Map(
    Object.entries(stored).flatMap(([queue, text]): [string, StoredPause][] => {
      const record = readable(source, queue, text);
      return record === null ? [] : [[queue, { record, text }]];
    }),
  );
}

function readable({ keys, unreadable }: RecordSource, queue: string, text: string): PauseRecord | null {
  const record = isName(queue) ? parsePause(text) : null;
  if (record === null)
    unreadable.report({
      key: keys.pausedQueues,
      id: queue,
      problem: `expected the pause of a queue as JSON with at and shards, got ${quote(text)}`,
    });
  return record;
}
