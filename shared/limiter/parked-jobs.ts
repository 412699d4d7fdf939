import { groupBy } from '../groups.js';
import type { Keys } from '../keys.js';
import { chunks } from '../limits.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { Queues } from '../task/queues.js';

/**
 * The due time of a parked job, in ms since the epoch: a delayed job that waits in a line until `ParkedJobs` moves it on. BullMQ's score of a
 * delayed job, its due time × 4,096, stays a whole number only until September 2039.
 */
export const PARKED_AT = Date.UTC(2039, 0, 1);
/** Parked jobs may be due somewhat earlier: a job that was restored to its list is due as long after its start as it was after its end. */
export const PARKED_FROM = PARKED_AT - 24 * 3_600_000;
/** BullMQ's scores of parked jobs in a queue's set of delayed jobs are this or higher. */
export const PARKED_SCORE = PARKED_FROM * 4_096;
/** Jobs per script, because a script blocks Redis. */
const UNPARKED_AT_ONCE = 200;

/** A task that may go on. */
export interface AdmittedTask {
  readonly id: string;
  readonly queue: string;
  /** When it may go on, in ms since the epoch; 0 for now. */
  readonly at: number;
}

/** Whether a delayed job with this due time, in ms since the epoch, is parked. No task can be delayed that far before 2029. */
export function isParked(due: number): boolean {
  return due >= PARKED_FROM;
}

/** Returns when the wait of a job began that was enqueued with a delay, in ms since the epoch. A parked job waits from its enqueue on. */
export function waitsFrom(timestamp: number, delay: number): number {
  return isParked(timestamp + delay) ? timestamp : timestamp + delay;
}

/** Moves parked jobs on. */
export class ParkedJobs {
  constructor(
    private readonly redis: ScriptedRedis,
    private readonly queues: Queues,
    private readonly keys: Keys,
  ) {}

  /**
   * Moves the parked ones of these tasks to their queue, or delays them until their time. Returns the ids of those that may be parked later:
   * their job is not added yet, or a worker has it.
   * @throws the error of a queue, once the other queues are done
   */
  async unpark(admitted: readonly AdmittedTask[]): Promise<string[]> {
    const outcomes = await Promise.allSettled(
      [...groupBy(admitted, ({ queue }) => queue)].flatMap(([queue, tasks]) =>
        chunks(tasks, UNPARKED_AT_ONCE).map((some) => this.#unparkOn(queue, some)),
      ),
    );
    return outcomes.flatMap((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }

  async #unparkOn(queue: string, tasks: readonly AdmittedTask[]): Promise<string[]> {
    const words = await this.redis.unparkJobs(
      ...this.queues.unparkKeys(queue),
      this.keys.jobs(queue),
      PARKED_FROM,
      ...tasks.flatMap(({ id, at }) => [id, at]),
    );
    return tasks.flatMap(({ id }, index) => (words[index] === 'missing' || words[index] === 'active' ? [id] : []));
  }
}
