import { groupBy } from '../../../shared/groups.js';
import { isTime } from '../../../shared/records/hash-reader.js';
import type { Store } from '../../../shared/store.js';
import { type JobAddress, type TaskJobOptions, readOptions } from '../../../shared/task/job-options.js';
import type { JobPlace } from '../../../shared/task/state.js';

/** An entry of the registry, and its job. */
export interface Compared {
  readonly id: string;
  readonly queue: string;
  /** As reported to open-webui; null if missing. */
  readonly item: string | null;
  /** The raw score, to detect a new registration; null if missing. */
  readonly score: string | null;
  /** When the task was registered, in ms; null for a missing or invalid score. */
  readonly registeredAt: number | null;
  /** Null without a job. */
  readonly job: FoundJob | null;
}

export interface FoundJob {
  readonly place: JobPlace | 'unreadable';
  readonly name: string | null;
  readonly options: TaskJobOptions;
  /** When the job was enqueued, in ms; null for an invalid time. */
  readonly timestamp: number | null;
  readonly stopped: boolean;
  /** The parent in a BullMQ flow. */
  readonly flowParent: JobAddress | null;
}

/** Tolerance for clocks that differ; a time further ahead is invalid. */
const MOST_AHEAD_MS = 24 * 3_600_000;

/** Reads entries of the registry with their jobs, and reports unreadable ones. */
export class EntryReader {
  constructor(private readonly store: Store) {}

  /**
   * Reads entries and their jobs. `areDated` is false if the list of live tasks has a wrong type, so that ages are unknown. If the hash of
   * tasks, which other programs write too, has a wrong type, no item counts as missing, because none can be added.
   * @param listed queues by id
   */
  async read(listed: ReadonlyMap<string, string>): Promise<{ readonly entries: readonly Compared[]; readonly areDated: boolean }> {
    const { redis, keys, unreadable } = this.store;
    const ids = [...listed.keys()];
    const [jobs, items, scores] = await Promise.all([
      this.jobs(listed),
      unreadable.read(keys.tasks, 'hash', redis.hmget(keys.tasks, ...ids), null),
      unreadable.read(keys.live, 'sorted set', redis.zmscore(keys.live, ...ids), null),
    ]);
    const now = this.store.clock.now();
    const entries = ids.map((id, index) => {
      const score = scores?.[index] ?? null;
      const registeredAt = readScore(score, now);
      if (score !== null && registeredAt === null)
        unreadable.report({ key: keys.live, id, problem: `expected ms since the epoch as its score, got ${score}` });
      const job = jobs.get(id) ?? null;
      const item = items === null ? (job?.options.item ?? '') : (items[index] ?? null);
      return { id, queue: listed.get(id) as string, item, score, registeredAt, job };
    });
    return { entries, areDated: scores !== null };
  }

  /** Returns the existing jobs by id. */
  async jobs(listed: ReadonlyMap<string, string>): Promise<Map<string, FoundJob>> {
    const { redis, queues, keys, unreadable } = this.store;
    const jobs = new Map<string, FoundJob>();
    const calls = [...groupBy(listed, ([, queue]) => queue)].map(async ([queue, some]) => {
      const ids = some.map(([id]) => id);
      const rows = await redis.readTasks(...queues.readKeys(queue), keys.jobs(queue), 'opts timestamp stop parentKey name', ...ids);
      rows.forEach((row, index) => {
        if (!row) return;
        const id = ids[index] as string;
        const fields = row as readonly (string | null)[]; // without length limits
        const [place, options = null, timestamp, stop, parentKey = null, name = null, problem] = fields;
        if (problem) unreadable.report({ key: keys.jobs(queue) + id, problem });
        jobs.set(id, {
          place: place as FoundJob['place'],
          name,
          options: readOptions(options),
          timestamp: isTime(Number(timestamp)) ? Number(timestamp) : null,
          stopped: Boolean(stop),
          flowParent: parentKey === null ? null : keys.jobAt(parentKey),
        });
      });
    });
    await Promise.all(calls);
    return jobs;
  }
}

function readScore(score: string | null, now: number): number | null {
  const at = score === null ? Number.NaN : Number(score);
  return isTime(at) && at <= now + MOST_AHEAD_MS ? at : null;
}
