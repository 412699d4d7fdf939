import type { Keys } from './keys.js';
import type { Logger } from './logger.js';
import type { TaskCounters } from './metrics/task-counters.js';
import type { RedisConnection } from './redis/connection.js';
import { isWrongType } from './redis/reply-error.js';
import { RepeatedLines } from './repeated-lines.js';
import { kindOfKey } from './unreadable-kinds.js';

export { isWrongType };

/** A record in Redis that cannot be read: another version or another program wrote it, or somebody did by hand. */
export interface UnreadableRecord {
  /** The key that holds it. */
  readonly key: string;
  /** Which record of the key: a task id, a field, a member. Absent if the whole key is meant. */
  readonly id?: string | undefined;
  /** What was expected, and what is there. */
  readonly problem: string;
}

/** The types of Redis that a key of ours may have. */
export type KeyType = 'hash' | 'list' | 'set' | 'sorted set' | 'stream' | 'string';

/** What reading records needs of a store. */
export interface RecordSource {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
}

export interface UnreadableOptions {
  readonly logger: Logger;
  readonly taskCounters: Pick<TaskCounters, 'unreadable'>;
  /** The prefix of the fleet's keys, by which kinds are told apart. */
  readonly prefix: string;
  /** A clock in ms that never goes back. Default: performance.now. */
  readonly now?: (() => number) | undefined;
}

/** Records that are remembered; what comes beyond is counted together. */
const MAX_RECORDS = 2_000;
/** Characters of a name or a problem that are kept and logged. */
const MAX_CHARACTERS = 200;

/** Takes what cannot be read. */
export abstract class RecordReporter {
  /** Never throws. */
  abstract report(record: UnreadableRecord): void;

  /**
   * Returns what a read of one key returns; `fallback`, after a report, if the key has another type than expected.
   * Every other error of the read is thrown.
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
 * Reports records that cannot be read: one warning and one count for each record and hour of this process. Memory is bounded,
 * whatever strangers write: what comes beyond 2,000 records shares one line an hour.
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
        'A record in Redis cannot be read; the rest goes on without it',
      );
      if (written) this.#taskCounters.unreadable(kind);
    } catch {
      // Neither a line nor a count is worth the read that met the record.
    }
  }
}

/** The problem of a key that is not of its type. */
export function wrongType(expected: KeyType): string {
  return `expected a ${expected}, found a key of another type`;
}

function shorten(text: string): string {
  return text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
}
