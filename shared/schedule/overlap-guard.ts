import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { ScheduleMark } from './schedule.js';

/** Whether a scheduled task may start. `other` is the task that blocks it. */
type Turn =
  | { readonly kind: 'start' }
  | { readonly kind: 'wait'; readonly other: string }
  | { readonly kind: 'skip'; readonly other: string };

/**
 * Lets one task of a schedule run at a time, and with the policy `queue` one more wait. A turn ends with its task and is never
 * released explicitly, so a crash leaves nothing behind. A requeued task keeps its turn.
 */
export class OverlapGuard {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;

  constructor(redis: ScriptedRedis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** Takes the turn for a task that is about to start, or says why it cannot. May be called again. */
  async take({ id: schedule, overlap }: ScheduleMark, queue: string, task: string): Promise<Turn> {
    const next = nextField(schedule);
    for (;;) {
      const [current = null, waiting = null] = await this.#redis.hmget(this.#keys.scheduleRuns, schedule, next);
      const ahead = waiting === task || waiting === current ? null : await this.#ifGoing(queue, waiting);
      if (ahead !== null) return { kind: 'skip', other: ahead };
      const other = current === task ? null : await this.#ifGoing(queue, current);
      if (other !== null && overlap === 'skip') return { kind: 'skip', other };
      // If another worker wrote first, look again.
      if (other === null && (await this.#write(schedule, current, task))) return { kind: 'start' };
      if (other !== null && (await this.#write(next, waiting, task))) return { kind: 'wait', other };
    }
  }

  /** Returns each schedule's last started task and whether it is still live; null if none ever ran. */
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

  /** Forgets a removed schedule. A live task keeps its turn: the schedule may be added again before the task ends. */
  async forget(schedule: string, queue: string): Promise<void> {
    const fields = [schedule, nextField(schedule)];
    const tasks = await this.#redis.hmget(this.#keys.scheduleRuns, ...fields);
    const going = await Promise.all(tasks.map((task) => this.#ifGoing(queue, task)));
    if (going.every((task) => task === null)) await this.#redis.hdel(this.#keys.scheduleRuns, ...fields);
  }

  /** Returns the task if it has not ended, else null. */
  async #ifGoing(queue: string, task: string | null): Promise<string | null> {
    if (task === null) return null;
    const [added, ended] = await this.#redis.hmget(this.#keys.jobs(queue) + task, 'timestamp', 'finishedOn');
    return added && !ended ? task : null;
  }

  async #write(field: string, read: string | null, task: string): Promise<boolean> {
    return (await this.#redis.replaceField(this.#keys.scheduleRuns, field, read ?? '', task)) === 1;
  }
}

/** The field of the waiting task. Schedule ids contain no colon. */
function nextField(schedule: string): string {
  return `${schedule}:next`;
}
