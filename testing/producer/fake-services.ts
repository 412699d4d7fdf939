import { getNextMillis } from 'bullmq';
import type { Limits } from '../../producer/limits/limits.js';
import type { PauseOptions, QueueControl } from '../../producer/queues/queues.js';
import type { Workers } from '../../producer/workers/workers.js';
import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import type { QueueView } from '../../shared/queue/queue-view.js';
import type { RetryReceipt, TaskRetry } from '../../shared/retry/task-retry.js';
import type { Schedule } from '../../shared/schedule/schedule.js';
import { baseQueue } from '../../shared/task/shards.js';
import type { TaskView } from '../../shared/task/view.js';
import type { BookTask } from './book-task.js';
import type { TaskBook } from './task-book.js';

/** The public members of a class. */
type Public<Class> = Pick<Class, keyof Class>;

const RETRYABLE: readonly string[] = ['failed', 'cancelled', 'skipped'];

/** Retries tasks of the book. */
export class FakeRetry implements Public<TaskRetry> {
  constructor(private readonly book: TaskBook) {}

  async retry(ids: readonly string[]): Promise<TaskView[]> {
    const tasks = ids.map((id) => this.book.get(id));
    const refused = tasks.find(({ state }) => !RETRYABLE.includes(state));
    if (refused) {
      const { id, state } = refused;
      throw new FleetError('TASK_NOT_RETRYABLE', `Task ${id} cannot be retried: it is ${state}.`, { details: { id, state } });
    }
    for (const task of tasks) this.#retry(task);
    return tasks.map((task) => this.book.view(task));
  }

  async retryEach(ids: readonly string[]): Promise<RetryReceipt[]> {
    return ids.map((id): RetryReceipt => {
      const task = this.book.tasks.get(id);
      if (!task) return { id, outcome: 'not_found', state: null };
      if (!RETRYABLE.includes(task.state)) return { id, outcome: 'not_retryable', state: task.state };
      this.#retry(task);
      return { id, outcome: 'retried', state: null };
    });
  }

  #retry(task: BookTask): void {
    task.retry();
    this.book.changed(task, 'waiting');
  }
}

/** The queues of the tasks in the book. */
export class FakeQueues implements Public<QueueControl> {
  constructor(private readonly book: TaskBook) {}

  async list(): Promise<QueueView[]> {
    return [...new Set([...this.book.tasks.values()].map(({ queue }) => baseQueue(queue)))].sort().map((name) => this.#view(name));
  }

  async pause(name: string, { reason, by }: PauseOptions = {}): Promise<QueueView> {
    for (const shard of this.#shardsOf(name))
      if (!this.book.pauses.has(shard))
        this.book.pauses.set(shard, { by: by || null, reason: reason || null, at: new Date(this.book.now()) });
    return this.#view(name);
  }

  async resume(name: string): Promise<QueueView> {
    for (const shard of this.#shardsOf(name)) this.book.pauses.delete(shard);
    return this.#view(name);
  }

  #tasksOf(name: string): BookTask[] {
    return [...this.book.tasks.values()].filter(({ queue }) => baseQueue(queue) === name);
  }

  #shardsOf(name: string): string[] {
    const shards = [...new Set(this.#tasksOf(name).map(({ queue }) => queue))];
    if (shards.length > 0) return shards;
    throw new FleetError('QUEUE_NOT_FOUND', `No queue ${quote(name)}: it has had no task and no worker.`, { details: { queue: name } });
  }

  #view(name: string): QueueView {
    const shards = this.#shardsOf(name);
    const views = this.#tasksOf(name).map((task) => this.book.view(task));
    const count = (...states: TaskView['state'][]): number => views.filter(({ state }) => states.includes(state)).length;
    const paused = shards.flatMap((shard) => this.book.pauses.get(shard) ?? [])[0] ?? null;
    const oldest = views.find(({ state }) => state === 'queued') ?? null;
    return {
      ...{ name, shards, builtIn: false, paused: paused && { ...paused, shards: shards.filter((shard) => this.book.pauses.has(shard)) } },
      counts: {
        ...{
          queued: count('queued'),
          inLine: 0,
          scheduled: count('scheduled', 'retrying'),
          waiting: 0,
          running: count('running', 'stopping'),
        },
        ...{ completed: count('completed', 'skipped'), failed: count('failed'), cancelled: count('cancelled') },
      },
      oldestWaitMs: oldest?.enqueuedAt ? this.book.now() - oldest.enqueuedAt.getTime() : null,
      oldestWaitTask: oldest && { id: oldest.id, name: oldest.name },
      ...{ inPerMinute: 0, outPerMinute: 0, limits: 0, concurrency: null, workers: [], slots: 0, problem: null },
    };
  }
}

/** A fleet without workers. */
export const NO_WORKERS: Public<Workers> = {
  list: async () => [],
  all: async () => ({ workers: [], differences: [] }),
  differences: async () => [],
  get: async () => null,
  drain: async (id) => noWorker(id),
  resume: async (id) => noWorker(id),
};

function noWorker(id: string): never {
  throw new FleetError('WORKER_NOT_FOUND', `Worker ${quote(id)} does not exist: a fake producer has none.`, {
    details: { id, dead: false },
  });
}

/** Limits that no worker has published. */
export const NO_LIMITS: Public<Limits> = {
  set: async (name: string) => {
    throw new FleetError('LIMIT_NOT_FOUND', `No limit is published for ${quote(name)}: a fake producer has no workers.`, {
      details: { name },
    });
  },
  clear: async () => false,
  list: async () => ({ limits: [], next: null }),
};

/** When the schedules of a fake producer are due next; none of them starts a task by itself. */
export class FakeSchedulers {
  readonly #next = new Map<string, number>();

  constructor(private readonly book: TaskBook) {}

  async ensure({ id, everyMs, cron, timeZone }: Schedule): Promise<boolean> {
    const now = this.book.now();
    const next = cron === null ? now + (everyMs ?? 0) : getNextMillis(now, { pattern: cron, ...(timeZone !== null && { tz: timeZone }) });
    this.#next.set(id, next ?? now);
    return true;
  }

  async remove(_queue: string, id: string): Promise<boolean> {
    return this.#next.delete(id);
  }

  async nextTimes(schedules: readonly Schedule[]): Promise<(number | null)[]> {
    return schedules.map(({ id }) => this.#next.get(id) ?? null);
  }
}
