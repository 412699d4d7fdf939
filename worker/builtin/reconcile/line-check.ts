import { type LimitStep, stepsOf } from '../../../shared/limiter/marks.js';
import { ParkedJobs, isParked } from '../../../shared/limiter/parked-jobs.js';
import type { Store } from '../../../shared/store.js';
import { readOptions } from '../../../shared/task/job-options.js';
import { isTerminal } from '../../../shared/task/state.js';

/** BullMQ's score of a delayed job is its due time × 4,096, plus a number. */
const UNIT = 4_096;

/** A parked job that the limiter does not know. */
interface Unknown {
  readonly id: string;
  readonly name: string;
  readonly priority: number;
  readonly deadline: number | null;
  /** When it was enqueued, in ms since the epoch. */
  readonly timestamp: number;
  /** Empty if its marks are missing or unreadable. */
  readonly steps: readonly LimitStep[];
}

/** Compares delayed jobs with what the limiter knows of them. */
export class LineCheck {
  readonly #parked: ParkedJobs;

  constructor(private readonly store: Store) {
    this.#parked = new ParkedJobs(store.redis, store.queues, store.keys);
  }

  /**
   * Lines parked jobs up again that the limiter has lost, moves on those that were admitted, and frees the places of tasks that wait for a
   * retry. Returns the number of jobs that have left the list of delayed ones.
   */
  async check(queue: string, ids: readonly string[]): Promise<number> {
    const { redis, keys, limiter } = this.store;
    const delayed = `${keys.jobs(queue)}delayed`;
    // Read before the list: the run of a job that is delayed afterwards has ended.
    const records = await limiter.records(ids);
    const scores = await redis.zmscore(delayed, ...ids);
    const parked = ids.filter((_, index) => isParked(Number(scores[index] ?? 0) / UNIT));
    const ended = ids.flatMap((id, index) => {
      const { state, run } = records.get(id) ?? {};
      return scores[index] !== null && !isParked(Number(scores[index]) / UNIT) && state === 'running' ? [{ id, run }] : [];
    });
    // Their worker died between the end of the attempt and the release.
    await Promise.all(ended.map(({ id, run }) => limiter.release([id], run)));
    if (parked.length === 0) return 0;
    await this.#lineUp(
      queue,
      parked.filter((id) => !records.has(id)),
    );
    await limiter.recheck(parked.filter((id) => records.get(id)?.state !== 'line'));
    const left = await redis.zmscore(delayed, ...parked);
    return left.filter((score) => score === null).length;
  }

  /** A job without marks goes back to its queue, where a worker finds its limits. */
  async #lineUp(queue: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const { limiter, reader } = this.store;
    const found = await Promise.all(ids.map((id) => this.#read(queue, id)));
    const bare = found.filter(({ steps }) => steps.length === 0);
    await this.#parked.unpark(bare.map(({ id }) => ({ id, queue, at: 0 })));
    const limited = found.filter(({ steps }) => steps.length > 0).toSorted((a, b) => a.timestamp - b.timestamp);
    await Promise.all(limited.map(({ timestamp: _, ...task }) => limiter.admit({ ...task, queue })));
    // A task may have ended meanwhile: its places were freed before it was lined up.
    const tasks = await reader.read(limited.map(({ id }) => id));
    const over = limited.filter(({ id }) => {
      const state = tasks.get(id)?.state;
      return state === undefined || isTerminal(state);
    });
    await limiter.release(over.map(({ id }) => id));
  }

  async #read(queue: string, id: string): Promise<Unknown> {
    const { redis, keys, unreadable } = this.store;
    const key = keys.jobs(queue) + id;
    const [name, opts, timestamp] = await unreadable.read(key, 'hash', redis.hmget(key, 'name', 'opts', 'timestamp'), []);
    const { limits = [], priority = 0, deadline = null } = readOptions(opts);
    return { id, name: name ?? '', priority, deadline, timestamp: Number(timestamp), steps: stepsOf(null, limits) };
  }
}
