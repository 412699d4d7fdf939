import type { Keys } from '../keys.js';
import type { RecordReporter } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/** A task of a schedule that has not ended. */
export interface LiveRun {
  readonly task: string;
  /** When a worker last fetched it, in ms since the epoch; null if none has. */
  readonly fetchedAt: number | null;
}

/** How long a line is kept without a call. A task that waits joins again at each fetch, so a lost line costs the order only. */
const KEPT_MS = 24 * 3_600_000;
const READ_AT_ONCE = 20;

/**
 * The order of the tasks that people asked a schedule to run: a retry or a run now, first come, first served. A task is in line until
 * it starts; its place counts only while the task is live, so one that is stopped or removed leaves nothing to wait for.
 */
export class ScheduleLine {
  constructor(
    private readonly redis: ScriptedRedis,
    private readonly keys: Keys,
    private readonly unreadable: RecordReporter,
  ) {}

  /** Puts a task at the end, unless it is in line. Returns how many are ahead of it. */
  join(schedule: string, task: string): Promise<number> {
    const key = this.keys.scheduleLine(schedule);
    return this.unreadable.read(key, 'sorted set', this.redis.joinLine(key, task, KEPT_MS), 0);
  }

  async leave(schedule: string, tasks: readonly string[]): Promise<void> {
    const key = this.keys.scheduleLine(schedule);
    if (tasks.length > 0) await this.unreadable.read(key, 'sorted set', this.redis.zrem(key, ...tasks), 0);
  }

  /** Returns the first live task, with `before` the first ahead of that task; null if there is none. Removes the ended tasks before it. */
  async first(schedule: string, queue: string, before: string | null = null): Promise<LiveRun | null> {
    const key = this.keys.scheduleLine(schedule);
    for (;;) {
      const read = await this.unreadable.read(key, 'sorted set', this.redis.zrange(key, '0', String(READ_AT_ONCE - 1)), []);
      const end = before === null ? -1 : read.indexOf(before);
      const ahead = end === -1 ? read : read.slice(0, end);
      const runs = await Promise.all(ahead.map((task) => this.ifLive(queue, task)));
      const live = runs.findIndex((run) => run !== null);
      await this.leave(schedule, live === -1 ? ahead : ahead.slice(0, live));
      if (live !== -1) return runs[live] as LiveRun;
      if (end !== -1 || read.length < READ_AT_ONCE) return null;
    }
  }

  /** Returns a task of a queue; null if it has ended or does not exist. */
  async ifLive(queue: string, task: string | null): Promise<LiveRun | null> {
    if (task === null) return null;
    const [added, ended, fetched] = await this.redis.hmget(this.keys.jobs(queue) + task, 'timestamp', 'finishedOn', 'processedOn');
    if (!added || ended) return null;
    return { task, fetchedAt: Number(fetched) > 0 ? Number(fetched) : null };
  }
}
