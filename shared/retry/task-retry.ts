import { setTimeout } from 'node:timers/promises';
import { type IRedisTransaction, createIORedisClient } from 'bullmq';
import { FleetError } from '../errors.js';
import type { Logger } from '../log/logger.js';
import { UNKNOWN } from '../metrics/fields.js';
import { isReplyError } from '../redis/reply-errors.js';
import { RETRY_PATIENCE_MS } from '../registry/late-removals.js';
import type { Memberships, MergedWrites } from '../registry/merged-writes.js';
import { Registrar } from '../registry/registrar.js';
import type { Store } from '../store.js';
import { expireEnded, writeRetry } from '../task/event-stream.js';
import { type TaskJobOptions, membershipsOf, readOptions } from '../task/job-options.js';
import { type TaskState, isTerminal } from '../task/state.js';
import type { TaskView } from '../task/view.js';

/** A failed, cancelled or skipped task to retry. */
interface Retried {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly memberships: Memberships;
  readonly options: TaskJobOptions;
  /** The set of ended jobs that has it, and the field that the retry removes. */
  readonly place: 'failed' | 'completed';
}

/** What a retry of several tasks did with one of them. */
export interface RetryReceipt {
  readonly id: string;
  /** `not_retryable`: the task is live again, or has completed since. */
  readonly outcome: 'retried' | 'not_retryable' | 'not_found';
  /** The state that forbade the retry; else null. */
  readonly state: TaskState | null;
}

type QueuedView = TaskView & { readonly queue: string };

type RetryStore = Pick<
  Store,
  'redis' | 'queues' | 'reader' | 'registry' | 'keys' | 'pendingStops' | 'scheduleLine' | 'taskCounters' | 'unreadable' | 'clock'
>;

const PAUSE_MS = 10;

/** Retries failed, cancelled and skipped tasks. */
export class TaskRetry {
  readonly #store: RetryStore;
  readonly #registrar: Registrar;

  constructor(store: RetryStore, logger: Logger) {
    this.#store = store;
    this.#registrar = new Registrar(store.unreadable, logger);
  }

  /**
   * Retries each task and returns the updated tasks, in the order of the ids. If one of them cannot be retried, none is, unless
   * another process changes it at the same moment.
   * @throws FleetError `TASK_NOT_FOUND`; `TASK_NOT_RETRYABLE` with its `id` and `state`
   */
  async retry(ids: readonly string[]): Promise<TaskView[]> {
    const { reader } = this.#store;
    const before = await reader.read(ids);
    const views = [...new Set(ids)].map((id) => checkRetryable(id, before.get(id)));
    const tasks = (await this.#optionsOf(views)).map(({ view, stored }) => this.#retried(view, stored));
    const moved = await this.#retryAll(await Promise.all(tasks));
    const now = await this.#readAgain(ids, moved);
    for (const id of ids) if (!moved.has(id)) throw notRetryable(id, now.get(id));
    // A task without retention may have ended by now.
    return ids.map((id) => now.get(id) ?? queuedAgain(before.get(id) as TaskView));
  }

  /**
   * Retries those of the tasks that can be retried, and returns a receipt for each task. Safe to repeat with the same `batch`: a task
   * that the batch has retried is not retried again, even if it has failed again since.
   */
  async retryEach(ids: readonly string[], batch: string): Promise<RetryReceipt[]> {
    const before = await this.#store.reader.read(ids);
    const views = [...before.values()].filter(isOnQueue);
    const found = await this.#optionsOf(views);
    const done = new Set(found.flatMap(({ view, stored }) => (stored.retriedBy === batch ? [view.id] : [])));
    const open = found.filter(({ view }) => isRetryable(view) && !done.has(view.id));
    const moved = await this.#retryAll(await Promise.all(open.map(({ view, stored }) => this.#retried(view, stored, batch))));
    const missed = new Set(open.map(({ view }) => view.id).filter((id) => !moved.has(id)));
    const now = await this.#readAgain([...missed], moved);
    return ids.map((id): RetryReceipt => {
      if (moved.has(id) || done.has(id)) return { id, outcome: 'retried', state: null };
      const state = (missed.has(id) ? now : before).get(id)?.state ?? null;
      return { id, outcome: state === null ? 'not_found' : 'not_retryable', state };
    });
  }

  /** Returns the ids of the tasks that it moved; another process has retried or removed the others. */
  async #retryAll(tasks: readonly Retried[]): Promise<Map<string, Retried>> {
    if (tasks.length === 0) return new Map();
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
    await this.#joinLines([...moved]);
    await this.#registerAgain([...moved]);
    return new Map([...moved].map((task) => [task.id, task]));
  }

  /** Reads tasks after a retry. A moved task that has ended by now left the registry before it was registered again. */
  async #readAgain(ids: readonly string[], moved: ReadonlyMap<string, Retried>): Promise<Map<string, TaskView>> {
    const now = await this.#store.reader.read([...new Set([...ids, ...moved.keys()])]);
    const ended = [...moved.values()].filter(({ id }) => isTerminal(now.get(id)?.state ?? 'completed'));
    await Promise.all(ended.map((task) => this.#putRight(task)));
    return now;
  }

  async #optionsOf(views: readonly QueuedView[]): Promise<{ readonly view: QueuedView; readonly stored: TaskJobOptions }[]> {
    const { redis, keys } = this.#store;
    const options = await Promise.all(views.map(({ id, queue }) => redis.hget(keys.jobs(queue) + id, 'opts')));
    return views.map((view, index) => ({ view, stored: readOptions(options[index] ?? null) }));
  }

  async #retried(view: QueuedView, stored: TaskJobOptions, batch: string | null = null): Promise<Retried> {
    const { redis, keys, clock } = this.#store;
    // The deadline applied to the first run.
    const { childOf, ancestors, deadline: _deadline, retriedBy: _before, schedule, ...others } = stored;
    // A stop of the parent would stop this task again, so the retried task is detached from it.
    const detached = childOf !== undefined && (await redis.hexists(keys.jobs(childOf.queue) + childOf.id, 'stop')) === 1;
    const options = {
      ...others,
      ...(schedule && { schedule: { ...schedule, retried: true as const } }),
      ...(childOf && !detached && { childOf, ...(ancestors && { ancestors }) }),
      ...(batch !== null && { retriedBy: batch }),
      retriedAt: clock.now(),
    };
    const name = others.item === undefined ? UNKNOWN : (view.name ?? UNKNOWN);
    const memberships = membershipsOf(options, view.name);
    return { id: view.id, queue: view.queue, name, memberships, options, place: view.state === 'skipped' ? 'completed' : 'failed' };
  }

  /** Waits until the process that ended the last run has removed its registry entry, which otherwise would remove the new one. */
  async #untilUnregistered(tasks: readonly Retried[]): Promise<void> {
    const ids = tasks.map(({ id }) => id);
    for (let waited = 0; waited < RETRY_PATIENCE_MS; waited += PAUSE_MS) {
      const entries = await this.#store.registry.find(ids);
      if (entries.every((entry) => entry === null)) return;
      await setTimeout(PAUSE_MS);
    }
    // That process has died, or is so slow that it must look for this retry after its removal: see LateRemovals.
  }

  async #register(tasks: readonly Retried[]): Promise<void> {
    const { redis, keys, registry, clock } = this.#store;
    const writes = registry.writes();
    // A score of its own: see #registerAgain.
    for (const task of tasks) writes.add(registrationOf(task, clock.now() - 1));
    await this.#registrar.settle([...writes.flushInto(redis), ...tasks.flatMap(({ id }) => writeRetry(redis, keys.events(id)))]);
  }

  /** Clears the stop and moves the job in one transaction. Returns false if the job is no longer where it ended. */
  async #move({ id, queue, options, place }: Retried): Promise<boolean> {
    const { redis, queues } = this.#store;
    // Must precede the transaction: creating the queue loads BullMQ's scripts, which the transaction needs.
    const backend = queues.backend(queue);
    const transaction = createIORedisClient(redis).multi() as unknown as IRedisTransaction;
    const [ended, job, ...rest] = queues.scriptKeys(queue, place, id, 'wait', 'meta', 'active', 'marker', 'prioritized', 'pc');
    const [events] = queues.scriptKeys(queue, 'events');
    transaction.runCommand('clearStop', [ended, job, id, JSON.stringify(options), Number(options.dedupe === 'while-live')]);
    // The equivalent of `retryFinishedJob`, which would run outside the transaction.
    const field = place === 'failed' ? 'failedReason' : 'returnvalue';
    backend.execCommand(transaction, 'reprocessJob', [job, events, ended, ...rest, id, 'LPUSH', field, place, '1', '1']);
    const replies = (await transaction.exec()) ?? [];
    const refused = replies.find(([error]) => error !== null);
    if (refused) throw refused[0] as Error;
    return replies[1]?.[1] === 1;
  }

  /**
   * Registers moved tasks again. The entry may have been removed for the last run's end, by a process that read the task just before it
   * was moved; a removal that is yet to come finds another score and leaves the entry alone.
   */
  async #registerAgain(tasks: readonly Retried[]): Promise<void> {
    const { redis, registry, clock } = this.#store;
    const writes = registry.writes();
    for (const task of tasks) writes.add(registrationOf(task, clock.now()));
    await this.#registrar.settle(writes.flushInto(redis));
  }

  /** Puts the tasks of schedules in line, in their order. The tasks are live: without a place, each takes one at its first fetch. */
  async #joinLines(tasks: readonly Retried[]): Promise<void> {
    const { scheduleLine } = this.#store;
    await Promise.allSettled(tasks.flatMap(({ id, options: { schedule } }) => (schedule ? [scheduleLine.join(schedule.id, id)] : [])));
  }

  /**
   * Handles a concurrent retry or removal, or the end of the new run: keeps the registry entry only if the task is live, and returns
   * whether it is.
   */
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
      else writes.remove(task.id, task.memberships);
      await this.#registrar.settle([...writes.flushInto(redis), ...(live ? [] : [expireEnded(redis, keys.events(task.id))])]);
      // The task may have changed between the read and the write: look again.
      registered = live;
    }
  }
}

function isOnQueue(task: TaskView): task is QueuedView {
  return task.queue !== null;
}

function checkRetryable(id: string, task: TaskView | undefined): QueuedView {
  if (task && isOnQueue(task) && isRetryable(task)) return task;
  throw notRetryable(id, task);
}

function isRetryable({ state }: TaskView): boolean {
  return state === 'failed' || state === 'cancelled' || state === 'skipped';
}

function notRetryable(id: string, task: TaskView | undefined): FleetError {
  if (!task)
    return new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`, { details: { id } });
  const why =
    task.queue === null
      ? 'it belongs to another program'
      : isRetryable(task)
        ? 'it was retried concurrently'
        : `it is ${task.state}; only failed, cancelled and skipped tasks can be`;
  return new FleetError('TASK_NOT_RETRYABLE', `Task ${id} cannot be retried: ${why}.`, { details: { id, state: task.state } });
}

function registrationOf({ id, queue, memberships }: Retried, at: number): Parameters<MergedWrites['add']>[0] {
  return { id, queue, ...memberships, at };
}

function queuedAgain(task: TaskView): TaskView {
  return {
    ...task,
    state: 'queued',
    waitingFor: null,
    attempt: 0,
    nextAttemptAt: null,
    progress: null,
    error: null,
    stop: null,
    skippedFor: null,
    startedAt: null,
    finishedAt: null,
  };
}
