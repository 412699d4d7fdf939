import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { ScheduleMark } from './schedule.js';

/** What a task of a schedule is to do. `other` is the task that is in its way. */
export type Turn =
  | { readonly kind: 'start' }
  | { readonly kind: 'wait'; readonly other: string }
  | { readonly kind: 'skip'; readonly other: string };

/**
 * Who of a schedule's tasks may run: one at a time, and with the policy `queue` one more may wait. A turn is not given
 * back: it is over when its task has ended, so a crash leaves nothing behind. A task that goes back to its queue keeps it.
 */
export class OverlapGuard {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;

  constructor(redis: ScriptedRedis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** Takes the turn for a task that is about to start, or says why not. May be asked again. */
  async take({ id: schedule, overlap }: ScheduleMark, queue: string, task: string): Promise<Turn> {
    const next = nextField(schedule);
    for (;;) {
      const [current = null, waiting = null] = await this.#redis.hmget(this.#keys.scheduleRuns, schedule, next);
      const ahead = waiting === task || waiting === current ? null : await this.#ifGoing(queue, waiting);
      if (ahead !== null) return { kind: 'skip', other: ahead };
      const other = current === task ? null : await this.#ifGoing(queue, current);
      if (other !== null && overlap === 'skip') return { kind: 'skip', other };
      // Somebody else may have been faster: then look again.
      if (other === null && (await this.#write(schedule, current, task))) return { kind: 'start' };
      if (other !== null && (await this.#write(next, waiting, task))) return { kind: 'wait', other };
    }
  }

  /** The task of each schedule that started last, and whether it is still going; null for one that never ran. */
  async last(schedules: readonly { readonly id: string; readonly queue: string }[]): Promise<({ task: string; going: boolean } | null)[]> {
    if (schedules.length === 0) return [];
    const tasks = await this.#redis.hmget(this.#keys.scheduleRuns, ...schedules.map(({ id }) => id));
    return Promise.all(
      schedules.map(async ({ queue }, index) => {
        const task = tasks[index] ?? null;
        return task === null ? null : { task, going: (await this.#ifGoing(queue, task)) !== null };
      }),
    );
  }

  /** For a schedule that is no more. What is going keeps its turn: the schedule may come back sooner than it ends. */
  async forget(schedule: string, queue: string): Promise<void> {
    const fields = [schedule, nextField(schedule)];
    const tasks = await this.#redis.hmget(this.#keys.scheduleRuns, ...fields);
    const going = await Promise.all(tasks.map((task) => this.#ifGoing(queue, task)));
    if (going.every((task) => task === null)) await this.#redis.hdel(this.#keys.scheduleRuns, ...fields);
  }

  /** The task, if it has not ended. */
  async #ifGoing(queue: string, task: string | null): Promise<string | null> {
    if (task === null) return null;
    const [added, ended] = await this.#redis.hmget(this.#keys.jobs(queue) + task, 'timestamp', 'finishedOn');
    return added && !ended ? task : null;
  }

  async #write(field: string, read: string | null, task: string): Promise<boolean> {
    return (await this.#redis.replaceField(this.#keys.scheduleRuns, field, read ?? '', task)) === 1;
  }
}

/** Of the task that waits for its turn. Ids of schedules have no colon. */
function nextField(schedule: string): string {
  return `${schedule}:next`;
}
