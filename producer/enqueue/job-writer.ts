import { type JobJson, createIORedisClient } from 'bullmq';
import { chunks } from '../../shared/limits.js';
import { wasNotDone } from '../../shared/redis/connection-errors.js';
import { isCluster, keepsOrder } from '../../shared/redis/connection.js';
import { isReplyError } from '../../shared/redis/reply-errors.js';
import { parseStop } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import { type JobAddress, type TaskJobOptions, jobOptions, membershipsOf } from '../../shared/task/job-options.js';
import type { Registration } from './claims.js';
import type { Existence } from './failure.js';
import type { PreparedTask } from './prepare.js';

export interface WriteOptions {
  /** Distinguishes two enqueues of the same id. */
  readonly nonce?: string;
  /** Whether the task is already registered. Default false. */
  readonly registered?: boolean;
}

/** A stop that arrived while the task was being enqueued. */
export interface StopMet {
  readonly reason: string | null;
  readonly by: string | null;
  /** Whether the stop is the parent's. */
  readonly inherited: boolean;
}

/** The result of writing a task. */
type WrittenTask =
  /** The task was added; `stop` arrived meanwhile, or is null. */
  | { readonly stop: StopMet | null }
  /** The task was not added, or a later step failed. */
  | { readonly error: unknown; readonly exists: Existence };

interface Pending {
  readonly task: PreparedTask;
  readonly queue: string;
  readonly job: JobJson & { readonly opts: TaskJobOptions };
  readonly registered: boolean;
  readonly resolve: (written: WrittenTask) => void;
}

type Answer = [error: unknown, reply?: unknown];

/** Queues are registered again after this time, in case Redis has lost its data. */
const KNOWN_MS = 10_000;
/** Jobs per socket write: enough to share its cost, few enough for Redis to process one write while the next is built. */
const JOBS_AT_ONCE = 64;

/** Writes tasks. Batches all writes of one event loop turn, and sends their registrations first. */
export class JobWriter {
  readonly #store: Store;
  readonly #registration: Registration;
  /** When each queue was last registered (performance.now). */
  readonly #knownQueues = new Map<string, number>();
  #pending: Pending[] = [];

  constructor(store: Store, registration: Registration) {
    this.#store = store;
    this.#registration = registration;
    // A restarted Redis may have lost its data.
    store.redis.on('close', () => this.#knownQueues.clear());
  }

  /** Writes a task. Never rejects. A stop that arrived meanwhile has been carried out when this resolves. */
  write(task: PreparedTask, { queue, id }: JobAddress, { nonce, registered = false }: WriteOptions = {}): Promise<WrittenTask> {
    const { definition, data, item, delay, priority, deadline, parent, schedule } = task;
    const opts = {
      ...jobOptions(definition),
      item,
      ...(delay > 0 && { delay }),
      ...(priority > 0 && { priority }),
      ...(deadline !== null && { deadline }),
      ...(parent && { childOf: { queue: parent.queue, id: parent.id } }),
      ...(nonce && { nonce }),
      ...(schedule && { schedule }),
    };
    const job = { id, name: definition.name, data, opts, timestamp: this.#store.clock.now() } as unknown as Pending['job'];
    return new Promise((resolve) => {
      if (this.#pending.push({ task, queue, job, registered, resolve }) === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    const registered = this.#register(pending).then(
      () => null,
      (error: unknown) => error,
    );
    for (const batch of chunks(pending, JOBS_AT_ONCE)) void this.#send(batch, registered);
  }

  async #register(pending: readonly Pending[]): Promise<void> {
    const { redis, keys, registry } = this.#store;
    const writes = registry.writes();
    const now = performance.now();
    const newQueues = new Set<string>();
    const parents = new Set<string>();
    const sent: unknown[] = [];
    for (const { job, task, queue, registered } of pending) {
      if (!registered) writes.add({ id: job.id, ...membershipsOf(job.opts), queue, at: job.timestamp });
      if (now - (this.#knownQueues.get(queue) ?? -Infinity) > KNOWN_MS) newQueues.add(queue);
      if (task.parent) parents.add(keys.jobs(task.parent.queue) + task.parent.id);
    }
    for (const parent of parents) sent.push(redis.markParent(parent));
    for (const queue of newQueues) sent.push(redis.sadd(keys.queues, queue));
    await this.#registration.settle([...sent, ...writes.flushInto(redis)]);
    for (const queue of newQueues) this.#knownQueues.set(queue, now);
  }

  /** @param registered resolves with the error of the registration, or null */
  async #send(pending: readonly Pending[], registered: Promise<unknown>): Promise<void> {
    const [replies, unregistered] = await this.#add(pending, registered);
    const sent = replies.length > 0;
    const isAdded = (index: number): boolean => replies[index]?.[0] === null;
    const added = pending.filter((_, index) => isAdded(index));
    const others = pending.flatMap((task, index) =>
      isAdded(index) ? [] : [this.#failureOf(task, replies[index]?.[0] ?? unregistered, sent)],
    );
    const failed = others.length === 0 ? [] : await Promise.all(others);
    for (const { task, exists } of failed) if (exists === true) added.push(task);
    if (added.length > 0 && unregistered !== null) this.#registration.report(unregistered);
    await this.#conclude(added, Number(replies[pending.length]?.[1] ?? 0));
    if (failed.length === 0) return;
    await this.#unregister(failed.flatMap(({ task, exists }) => (exists === false ? [task] : [])));
    for (const { task, exists, error } of failed) if (exists !== true) task.resolve({ error, exists });
  }

  /** Determines whether a task exists after an error. */
  async #failureOf(
    task: Pending,
    error: unknown,
    sent: boolean,
  ): Promise<{ readonly task: Pending; readonly error: unknown; readonly exists: Existence }> {
    if (!sent || wasNotDone(this.#store.redis, error)) return { task, error, exists: false };
    return { task, error, exists: isReplyError(error) ? await this.#undo(task) : 'unknown' };
  }

  /** Undoes a job that BullMQ's script added only partly. Returns whether the task exists nevertheless. */
  async #undo({ queue, job }: Pending): Promise<Existence> {
    const { redis, queues } = this.#store;
    try {
      return (
        (await redis.undoAdd(...queues.scriptKeys(queue, job.id, 'wait', 'delayed', 'prioritized'), job.id, job.opts.nonce ?? '')) === 1
      );
    } catch {
      return 'unknown';
    }
  }

  /** Counts new tasks, except those with a nonce (`Enqueuer` knows who created them) and scheduled tasks (counted by the worker). */
  #count({ task: { definition }, job: { opts } }: Pending): void {
    if (opts.nonce === undefined && opts.schedule === undefined) this.#store.taskCounters.enqueued(definition);
  }

  /** Resolves the added tasks, after carrying out the stops that arrived meanwhile. */
  async #conclude(added: readonly Pending[], pendingStops: number): Promise<void> {
    for (const task of added) this.#count(task);
    try {
      const met = await this.#stopsMet(added, pendingStops);
      for (const task of added) {
        const stop = met.get(task.job.id);
        if (stop) void this.#stop(task, stop);
        else task.resolve({ stop: null });
      }
    } catch (error) {
      for (const { resolve } of added) resolve({ error, exists: true });
    }
  }

  /** Returns the replies, none if the jobs were not sent, and the error of the registration or null. */
  async #add(pending: readonly Pending[], registered: Promise<unknown>): Promise<[Answer[], unknown]> {
    // On a single connection the order is kept, so jobs need not wait for the registrations' replies.
    if (keepsOrder(this.#store.redis)) return Promise.all([this.#addJobs(pending), registered]);
    const error = await registered;
    return error === null ? [await this.#addJobs(pending), null] : [[], error];
  }

  /** Writes the jobs to the socket together. Never rejects: errors are in the replies. */
  async #addJobs(pending: readonly Pending[]): Promise<Answer[]> {
    const { redis, queues, keys } = this.#store;
    const client = createIORedisClient(redis);
    const stream = isCluster(redis) ? null : redis.stream;
    // Not a pipeline: ioredis defines every script on each pipeline and adds two promises to each command.
    stream?.cork();
    const answers = pending.map(({ queue, job }) => answer(async () => queues.backend(queue).addJobToTransaction(client, job, job.id)));
    // Sent after the jobs, to see the stops that came before their jobs existed.
    const countEarly = (): Promise<Answer> => answer(() => redis.hlen(keys.pendingStops));
    const early = keepsOrder(redis) ? countEarly() : Promise.all(answers).then(countEarly);
    stream?.uncork();
    return Promise.all([...answers, early]);
  }

  /** Returns the stops that arrived meanwhile, by id. Usually there are none, and Redis is not asked. */
  async #stopsMet(pending: readonly Pending[], pendingStops: number): Promise<Map<string, StopMet>> {
    const { keys, pendingStops: early } = this.#store;
    const met = new Map<string, StopMet>();
    if (pendingStops > 0)
      for (const [id, stop] of await early.find(pending.map(({ job }) => job.id))) met.set(id, { ...stop, inherited: false });
    // The parent is marked by now: an earlier stop is seen here, and a later one sees the mark.
    const children = pending.flatMap(({ task: { parent }, job: { id } }) => (parent ? [{ id, parent }] : []));
    const stops = await Promise.all(children.map(({ parent }) => this.#readStop(keys.jobs(parent.queue) + parent.id)));
    children.forEach(({ id, parent }, index) => {
      const stop = parseStop(stops[index], null) ?? parent.stop;
      if (stop) met.set(id, { ...stop, inherited: true });
    });
    return met;
  }

  async #readStop(job: string): Promise<string | null> {
    const { redis, unreadable } = this.#store;
    return unreadable.read(job, 'hash', redis.hget(job, 'stop'), null);
  }

  /** Carries out a stop that found no job to be recorded in, or that the parent received. */
  async #stop({ job: { id }, resolve }: Pending, stop: StopMet): Promise<void> {
    const { stopper, pendingStops } = this.#store;
    try {
      await stopper.request([id], { reason: stop.reason, by: stop.by });
      await pendingStops.clear([id]);
      resolve({ stop });
    } catch (error) {
      resolve({ error, exists: true });
    }
  }

  /** Unregisters tasks whose jobs do not exist: Redis refused them (out of memory, for example), or they were not sent. */
  async #unregister(missing: readonly Pending[]): Promise<void> {
    const { redis, registry } = this.#store;
    if (missing.length === 0 || redis.status !== 'ready') return;
    const writes = registry.writes();
    for (const { job } of missing) writes.remove(job.id, membershipsOf(job.opts));
    // The callers get the original error; the reconciler removes leftover entries.
    await Promise.all(writes.flushInto(redis)).catch(() => undefined);
  }
}

async function answer(command: () => Promise<unknown>): Promise<Answer> {
  try {
    return [null, await command()];
  } catch (error) {
    return [error];
  }
}
