import type { Keys } from '../keys.js';
import { type Logger, RepeatedLines } from '../log/logger.js';
import type { TaskCounters } from '../metrics/task-counters.js';
import type { RedisConnection } from '../redis/connection.js';
import { isWrongType } from '../redis/reply-errors.js';
import { kindOfKey } from './unreadable-kinds.js';

export { isWrongType };

/** A record in Redis that cannot be read: written by another version or program, or by hand. */
export interface UnreadableRecord {
  /** The key that holds the record. */
  readonly key: string;
  /** The record within the key: a task id, field or member. Absent for the whole key. */
  readonly id?: string | undefined;
  /** The expected and the actual value. */
  readonly problem: string;
}

/** Redis types of our keys. */
export type KeyType = 'hash' | 'list' | 'set' | 'sorted set' | 'stream' | 'string';

/** The parts of a store that record readers need. */
export interface RecordSource {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
}

interface UnreadableOptions {
  readonly logger: Logger;
  readonly taskCounters: Pick<TaskCounters, 'unreadable'>;
  /** The prefix of the fleet's keys. */
  readonly prefix: string;
  /** A monotonic clock in ms. Default: performance.now. */
  readonly now?: (() => number) | undefined;
}

/** Records remembered at once; further ones are counted together. */
const MAX_RECORDS = 2_000;
/** Characters logged of a name or problem. */
const MAX_CHARACTERS = 200;

/** Receives reports of unreadable records. */
export abstract class RecordReporter {
  /** Never throws. */
  abstract report(record: UnreadableRecord): void;

  /**
   * Awaits the read of a key. If the key has the wrong type, reports that and returns `fallback`; other errors are thrown.
   */
  async read<T>(key: string, expected: KeyType, reading: Promise<T>, fallback: T): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      if (!isWrongType(error)) throw error;
      this.report({ key, problem: wrongType(expected) });
      return fallback;
    }
  }
}

/**
 * Reports unreadable records: one warning and one count per record and hour in this process. To bound memory, records beyond
 * 2,000 share one line an hour.
 */
export class Unreadable extends RecordReporter {
  readonly #lines: RepeatedLines;
  readonly #taskCounters: Pick<TaskCounters, 'unreadable'>;
  readonly #prefix: string;

  constructor({ logger, taskCounters, prefix, now }: UnreadableOptions) {
    super();
    this.#lines = new RepeatedLines(logger, { maxKeys: MAX_RECORDS, ...(now && { now }) });
    this.#taskCounters = taskCounters;
    this.#prefix = prefix;
  }

  override report({ key, id, problem }: UnreadableRecord): void {
    const kind = kindOfKey(this.#prefix, key);
    const record = { key: shorten(key), ...(id !== undefined && { id: shorten(id) }) };
    try {
      const written = this.#lines.warn(
        JSON.stringify(record),
        { kind, ...record, problem: shorten(problem) },
        'Cannot read a record in Redis; skipping it',
      );
      if (written) this.#taskCounters.unreadable(kind);
    } catch {
      // Reporting must not fail the read that met the record.
    }
  }
}

/** Describes the problem of a key of the wrong type. */
export function wrongType(expected: KeyType): string {
  return `expected a ${expected}, found a key of another type`;
}

function shorten(text: string): string {
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
