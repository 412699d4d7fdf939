import { isUnavailability } from '../../../shared/redis/connection-errors.js';
import { isRefusal, isReplyError } from '../../../shared/redis/reply-errors.js';
import type { Store } from '../../../shared/store.js';
import type { RegistryReconcileOutput } from '../definitions.js';
import { type EndedPosition, formatEndedPosition, parseEndedPosition } from './ended-position.js';
import { type JobPosition, formatPosition, parsePosition } from './job-lists.js';
import type { StrayCursors } from './strays.js';

/** Returns whether Redis rejected a record for good: its type or content does not suit the command. */
function isBadRecord(error: unknown): error is Error {
  return isReplyError(error) && !isUnavailability(error) && !isRefusal(error);
}

/** Most halvings in one run: if every record is bad, most of a page is skipped as a whole. */
const MAX_HALVINGS = 500;

/**
 * Isolates bad records: if Redis rejects work on a batch, the work is repeated for each half, down to the bad record. Parts done before
 * another part failed may be done twice.
 */
export class Isolation {
  readonly #blame: (ids: readonly string[], error: Error) => void;
  #halvings = MAX_HALVINGS;

  /** @param blame called with the skipped records and the error */
  constructor(blame: (ids: readonly string[], error: Error) => void) {
    this.#blame = blame;
  }

  /** Does the work on all good records. Rejects only if Redis is unavailable. */
  async each(ids: readonly string[], work: (ids: readonly string[]) => Promise<void>): Promise<void> {
    if (ids.length === 0) return;
    try {
      await work(ids);
    } catch (error) {
      if (!isBadRecord(error)) throw error;
      if (ids.length === 1 || this.#halvings === 0) return this.#blame(ids, error);
      this.#halvings -= 1;
      const middle = Math.ceil(ids.length / 2);
      await this.each(ids.slice(0, middle), work);
      await this.each(ids.slice(middle), work);
    }
  }

  /** Does work that cannot be divided; a bad record only skips it. */
  async step(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isBadRecord(error)) throw error;
      this.#blame([], error);
    }
  }
}

/** The progress of the runs. */
export interface Cursors {
  /** Cursor of HSCAN over the entries of the registry. */
  entries: string;
  /** Cursors over tasks registered in only one part of the registry. */
  strays: StrayCursors;
  jobs: JobPosition | null;
  ended: EndedPosition | null;
  /** Where the sweep of the indexes of live tasks continues; `''` for the start. */
  sweep: string;
  /** Whether the current pass over the entries, and over the ended tasks, was begun by a version that indexes them for searches. */
  findsLive: boolean;
  findsEnded: boolean;
}

/** The fields of the cursors, in the order in which they are read. */
const FIELDS = [
  ...['entries_cursor', 'jobs_cursor', 'live_cursor', 'tasks_cursor', 'ended_cursor', 'sweep_cursor'],
  ...['finds_live', 'finds_ended'],
] as const;
/** A cursor of Redis: 64 bits. */
const CURSOR = /^\d{1,20}$/;
const LAST_CURSOR = 2n ** 64n - 1n;

/**
 * `p:reconcile`: the progress and counts of the last run. If it cannot be read or written, each worker continues from its own last run:
 * starting over each time would never finish a large fleet.
 */
export class RunRecord {
  #last: Cursors | null = null;

  constructor(private readonly store: Store) {}

  async load(): Promise<Cursors> {
    const { redis, keys, unreadable } = this.store;
    const stored = await unreadable.read(keys.reconcile, 'hash', redis.hmget(keys.reconcile, ...FIELDS), null);
    const [entries = null, jobs = null, live = null, tasks = null, ended = null, sweep, findsLive, findsEnded] = stored ?? [];
    if (stored === null && this.#last !== null) return structuredClone(this.#last);
    return {
      entries: parseCursor(entries),
      jobs: parsePosition(jobs),
      ended: parseEndedPosition(ended),
      strays: { live: parseCursor(live), tasks: parseCursor(tasks) },
      sweep: sweep ?? '',
      findsLive: findsLive === '1',
      findsEnded: findsEnded === '1',
    };
  }

  async save(cursors: Cursors): Promise<void> {
    this.#last = structuredClone(cursors);
    const { entries, jobs, ended, strays, sweep, findsLive, findsEnded } = cursors;
    await this.#write({
      entries_cursor: entries,
      jobs_cursor: formatPosition(jobs),
      ended_cursor: formatEndedPosition(ended),
      live_cursor: strays.live,
      tasks_cursor: strays.tasks,
      sweep_cursor: sweep,
      finds_live: Number(findsLive),
      finds_ended: Number(findsEnded),
    });
  }

  async saveCounts({ complete, ...numbers }: RegistryReconcileOutput): Promise<void> {
    await this.#write({ at: this.store.clock.now(), ...numbers, complete: Number(complete) });
  }

  async #write(fields: Readonly<Record<string, string | number>>): Promise<void> {
    const { redis, keys, unreadable } = this.store;
    await unreadable.read(keys.reconcile, 'hash', redis.hset(keys.reconcile, fields), 0);
  }
}

function parseCursor(text: string | null): string {
  return text !== null && CURSOR.test(text) && BigInt(text) <= LAST_CURSOR ? text : '0';
}
