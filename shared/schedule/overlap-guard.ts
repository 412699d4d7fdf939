import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { LiveRun, ScheduleLine } from './line.js';
import { type ScheduleMark, isAskedFor } from './schedule.js';

/** Whether a task of a schedule may start. `other` is the task that blocks it. */
type Turn =
  | { readonly kind: 'start' }
  /** `since` is when `other` was last fetched, in ms since the epoch; `ahead`: tasks in line before this one. */
  | { readonly kind: 'wait'; readonly other: string; readonly since: number | null; readonly ahead: number }
  | { readonly kind: 'skip'; readonly other: string };

/**
 * Lets one task of a schedule run at a time. Of the scheduled tasks, one more waits with the policy `queue`; the others are skipped.
 * Tasks that people asked for all run, in their order. A turn ends with its task and is never released explicitly, so a crash leaves
 * nothing behind. A requeued task keeps its turn.
 */
export class OverlapGuard {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #line: ScheduleLine;

  constructor(redis: ScriptedRedis, keys: Keys, line: ScheduleLine) {
    this.#redis = redis;
    this.#keys = keys;
    this.#line = line;
  }

  /** Takes the turn for a task that is about to start, or says why it cannot. May be called again. */
  take(mark: ScheduleMark, queue: string, task: string): Promise<Turn> {
    return isAskedFor(mark, queue, task) ? this.#takeAsked(mark, queue, task) : this.#takeScheduled(mark, queue, task);
  }

  /** A task that a person asked for waits for the running task and for those asked for earlier, never for a scheduled one. */
  async #takeAsked({ id: schedule }: ScheduleMark, queue: string, task: string): Promise<Turn> {
    const ahead = await this.#line.join(schedule, task);
    for (;;) {
      const current = await this.#redis.hget(this.#keys.scheduleRuns, schedule);
      if (current !== task) {
        const other = (await this.#line.ifLive(queue, current)) ?? (await this.#line.first(schedule, queue, task));
        if (other !== null) return { kind: 'wait', other: other.task, since: other.fetchedAt, ahead };
      }
      // If another worker wrote first, look again.
      if (!(await this.#write(schedule, current, task))) continue;
      await this.#line.leave(schedule, [task]);
      return { kind: 'start' };
    }
  }

  async #takeScheduled({ id: schedule, overlap }: ScheduleMark, queue: string, task: string): Promise<Turn> {
    const next = nextField(schedule);
    for (;;) {
      const [current = null, waiting = null] = await this.#redis.hmget(this.#keys.scheduleRuns, schedule, next);
      const ahead = waiting === task || waiting === current ? null : await this.#line.ifLive(queue, waiting);
      if (ahead !== null) return { kind: 'skip', other: ahead.task };
      const other = current === task ? null : await this.#line.ifLive(queue, current);
      const blocking = overlap === 'skip' && current !== task ? (other ?? (await this.#waitingInLine(schedule, queue))) : null;
      if (blocking !== null) return { kind: 'skip', other: blocking.task };
      // If another worker wrote first, look again.
      if (other === null && (await this.#write(schedule, current, task))) return { kind: 'start' };
      if (other !== null && (await this.#write(next, waiting, task)))
        return { kind: 'wait', other: other.task, since: other.fetchedAt, ahead: 0 };
    }
  }

  /** Returns a task that a person asked for and that waits for its turn. One that no worker has fetched may have come after this run. */
  async #waitingInLine(schedule: string, queue: string): Promise<LiveRun | null> {
    const first = await this.#line.first(schedule, queue);
    return first?.fetchedAt == null ? null : first;
  }

  /** Returns each schedule's last started task and whether it is still live; null if none ever ran. */
  async last(schedules: readonly { readonly id: string; readonly queue: string }[]): Promise<({ task: string; going: boolean } | null)[]> {
    if (schedules.length === 0) return [];
    const tasks = await this.#redis.hmget(this.#keys.scheduleRuns, ...schedules.map(({ id }) => id));
    return Promise.all(
      schedules.map(async ({ queue }, index) => {
        const task = tasks[index] ?? null;
        return task === null ? null : { task, going: (await this.#line.ifLive(queue, task)) !== null };
      }),
    );
  }

  /** Forgets a removed schedule. A live task keeps its turn: the schedule may be added again before the task ends. */
  async forget(schedule: string, queue: string): Promise<void> {
    const fields = [schedule, nextField(schedule)];
    const tasks = await this.#redis.hmget(this.#keys.scheduleRuns, ...fields);
    const going = await Promise.all(tasks.map((task) => this.#line.ifLive(queue, task)));
    if (going.every((task) => task === null)) await this.#redis.hdel(this.#keys.scheduleRuns, ...fields);
  }

  async #write(field: string, read: string | null, task: string): Promise<boolean> {
    return (await this.#redis.replaceField(this.#keys.scheduleRuns, field, read ?? '', task)) === 1;
  }
}

/** The field of the waiting task. Schedule ids contain no colon. */
function nextField(schedule: string): string {
  return `${schedule}:next`;
}
