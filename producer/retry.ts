import { setTimeout } from 'node:timers/promises';
import { type IRedisTransaction, createIORedisClient } from 'bullmq';
import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { UNKNOWN } from '../shared/metrics/counters.js';
import { isReplyError } from '../shared/redis/reply-errors.js';
import type { MergedWrites } from '../shared/registry/merged-writes.js';
import type { Store } from '../shared/store.js';
import { expireEnded, writeRetry } from '../shared/task/event-stream.js';
import { type TaskJobOptions, membershipsOf, readOptions } from '../shared/task/job-options.js';
import { isTerminal } from '../shared/task/state.js';
import type { TaskView } from '../shared/task/view.js';
import { Registration } from './enqueue/claims.js';

/** A failed or cancelled task to retry. */
interface Retried {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly options: TaskJobOptions;
}

type RetryStore = Pick<
  Store,
  'redis' | 'queues' | 'reader' | 'registry' | 'keys' | 'pendingStops' | 'taskCounters' | 'unreadable' | 'clock'
>;

/** Maximum wait until the last run's end reaches the registry; a worker writes it within a few ms. */
const PATIENCE_MS = 1_000;
const PAUSE_MS = 10;

/** Retries failed and cancelled tasks. */
export class TaskRetry {
  readonly #store: RetryStore;
  readonly #registration: Registration;

  constructor(store: RetryStore, logger: Logger) {
    this.#store = store;
    this.#registration = new Registration(store, logger);
  }

  /**
   * Retries each task and returns the updated tasks, in the order of the ids. If one of them cannot be retried, none is, unless
   * another process changes it at the same moment.
   * @throws FleetError `TASK_NOT_FOUND`; `TASK_NOT_RETRYABLE` with its `id` and `state`
   */
  async retry(ids: readonly string[]): Promise<TaskView[]> {
    const { reader } = this.#store;
    const before = await reader.read(ids);
    const tasks = await this.#readOptions([...new Set(ids)].map((id) => checkRetryable(id, before.get(id))));
    await this.#untilUnregistered(tasks);
    // A pending stop was meant for the first run, whose enqueuer died before clearing it.
    await this.#store.pendingStops.clear(tasks.map(({ id }) => id));
    await this.#register(tasks);
    const moves = await Promise.allSettled(tasks.map((task) => this.#move(task)));
    const moved = new Set(tasks.filter((_, index) => moves[index]?.status === 'fulfilled' && moves[index].value));
    const missed = tasks.filter((task) => !moved.has(task));
    const live = await Promise.all(missed.map((task) => this.#putRight(task)));
    moves.forEach((move, index) => {
      const task = tasks[index] as Retried;
      // BullMQ's script may have failed after moving the job.
      if (move.status === 'rejected' && !(isReplyError(move.reason) && live[missed.indexOf(task)])) throw move.reason;
      if (move.status === 'rejected') moved.add(task);
    });
    for (const task of moved) this.#store.taskCounters.retried(task);
    const now = await reader.read(ids);
    for (const task of missed) if (!moved.has(task)) throw notRetryable(task.id, now.get(task.id));
    // A task without retention may have ended by now.
    return ids.map((id) => now.get(id) ?? queuedAgain(before.get(id) as TaskView));
  }

  async #readOptions(views: readonly (TaskView & { queue: string })[]): Promise<Retried[]> {
    const { redis, keys, clock } = this.#store;
    return Promise.all(
      views.map(async (view) => {
        // The deadline applied to the first run.
        const { childOf, deadline: _, schedule, ...others } = readOptions(await redis.hget(keys.jobs(view.queue) + view.id, 'opts'));
        // A stop of the parent would stop this task again, so the retried task is detached from it.
        const detached = childOf !== undefined && (await redis.hexists(keys.jobs(childOf.queue) + childOf.id, 'stop')) === 1;
        const mark = schedule && { schedule: { ...schedule, retried: true as const } };
        const options = { ...others, ...mark, ...(childOf && !detached && { childOf }), retriedAt: clock.now() };
        return { id: view.id, queue: view.queue, name: others.item === undefined ? UNKNOWN : (view.name ?? UNKNOWN), options };
      }),
    );
  }

  /** Waits until the process that ended the last run has removed its registry entry, which otherwise would remove the new one. */
  async #untilUnregistered(tasks: readonly Retried[]): Promise<void> {
    const ids = tasks.map(({ id }) => id);
    for (let waited = 0; waited < PATIENCE_MS; waited += PAUSE_MS) {
      const entries = await this.#store.registry.find(ids);
      if (entries.every((entry) => entry === null)) return;
      await setTimeout(PAUSE_MS);
    }
    // That process has died, so nothing will remove the new entry.
  }

  async #register(tasks: readonly Retried[]): Promise<void> {
    const { redis, keys, registry, clock } = this.#store;
    const writes = registry.writes();
    for (const task of tasks) writes.add(registrationOf(task, clock.now()));
    await this.#registration.settle([...writes.flushInto(redis), ...tasks.flatMap(({ id }) => writeRetry(redis, keys.events(id)))]);
  }

  /** Clears the stop and moves the job in one transaction. Returns false if the job has left the failed set. */
  async #move({ id, queue, options }: Retried): Promise<boolean> {
    const { redis, queues } = this.#store;
    // Must precede the transaction: creating the queue loads BullMQ's scripts, which the transaction needs.
    const backend = queues.backend(queue);
    const transaction = createIORedisClient(redis).multi() as unknown as IRedisTransaction;
    const [failed, job, ...rest] = queues.scriptKeys(queue, 'failed', id, 'wait', 'meta', 'active', 'marker', 'prioritized', 'pc');
    const [events] = queues.scriptKeys(queue, 'events');
    transaction.runCommand('clearStop', [failed, job, id, JSON.stringify(options)]);
    // The equivalent of `retryFinishedJob`, which would run outside the transaction.
    backend.execCommand(transaction, 'reprocessJob', [job, events, failed, ...rest, id, 'LPUSH', 'failedReason', 'failed', '1', '1']);
    const replies = (await transaction.exec()) ?? [];
    const refused = replies.find(([error]) => error !== null);
    if (refused) throw refused[0] as Error;
    return replies[1]?.[1] === 1;
  }

  /** Handles a concurrent retry or removal: keeps the registry entry only if the task is live, and returns whether it is. */
  async #putRight(task: Retried): Promise<boolean> {
    const { redis, keys, reader, registry, clock } = this.#store;
    for (let registered = true; ;) {
      const found = new Map<string, TaskView>();
      await reader.readOn(task.queue, [task.id], found);
      const state = found.get(task.id)?.state;
      const live = state !== undefined && !isTerminal(state);
      if (live === registered) return live;
      const writes = registry.writes();
      if (live) writes.add(registrationOf(task, clock.now()));
      else writes.remove(task.id, membershipsOf(task.options));
      await this.#registration.settle([...writes.flushInto(redis), ...(live ? [] : [expireEnded(redis, keys.events(task.id))])]);
      // The task may have changed between the read and the write: look again.
      registered = live;
    }
  }
}

function checkRetryable(id: string, task: TaskView | undefined): TaskView & { queue: string } {
  if (task?.queue && isRetryable(task)) return { ...task, queue: task.queue };
  throw notRetryable(id, task);
}

function isRetryable({ state }: TaskView): boolean {
  return state === 'failed' || state === 'cancelled';
}

function notRetryable(id: string, task: TaskView | undefined): FleetError {
  if (!task)
    return new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`, { details: { id } });
  const why =
    task.queue === null
      ? 'it belongs to another program'
      : isRetryable(task)
        ? 'it was retried concurrently'
        : `it is ${task.state}; only failed and cancelled tasks can be`;
  return new FleetError('TASK_NOT_RETRYABLE', `Task ${id} cannot be retried: ${why}.`, { details: { id, state: task.state } });
}

function registrationOf({ id, queue, options }: Retried, at: number): Parameters<MergedWrites['add']>[0] {
  return { id, queue, ...membershipsOf(options), at };
}

function queuedAgain(task: TaskView): TaskView {
  return { ...task, state: 'queued', attempt: 0, progress: null, error: null, stop: null, startedAt: null, finishedAt: null };
}
