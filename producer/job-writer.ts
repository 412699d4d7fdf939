import { type JobJson, createIORedisClient } from 'bullmq';
import { chunks } from '../shared/chunks.js';
import { wasNotDone } from '../shared/redis/connection-errors.js';
import { isCluster, keepsOrder } from '../shared/redis/connection.js';
import { isReplyError } from '../shared/redis/reply-error.js';
import { parseStop } from '../shared/stop/record.js';
import type { Store } from '../shared/store.js';
import { jobOptions, membershipsOf } from '../shared/task/job-options.js';
import type { JobAddress, TaskJobOptions } from '../shared/task/options-record.js';
import type { Existence } from './enqueue-failure.js';
import type { PreparedTask } from './prepare.js';
import type { Registration } from './registration.js';

export interface WriteOptions {
  /** Tells two enqueues of one id apart. */
  readonly nonce?: string;
  /** True if it is in the registry already. Default false. */
  readonly registered?: boolean;
}

/** A stop that a task met on its way. */
export interface StopMet {
  readonly reason: string | null;
  readonly by: string | null;
  /** Whether it is its parent's. */
  readonly inherited: boolean;
}

/** What became of a task. */
export type WrittenTask =
  /** It was added, and met this stop on its way; null for none. */
  | { readonly stop: StopMet | null }
  /** It was not added, or what was left to do for it failed. */
  | { readonly error: unknown; readonly exists: Existence };

interface Pending {
  readonly task: PreparedTask;
  readonly queue: string;
  readonly job: JobJson & { readonly opts: TaskJobOptions };
  readonly registered: boolean;
  readonly resolve: (written: WrittenTask) => void;
}

type Answer = [error: unknown, reply?: unknown];

/** Redis is told of a queue again after this time: it may have lost everything. */
const KNOWN_MS = 10_000;
/** Jobs in one write: enough to share its cost, few enough that Redis works on one write while we build the next. */
const JOBS_AT_ONCE = 64;

/** Writes tasks. What is written in one turn of the event loop goes out together, its registrations first. */
export class JobWriter {
  readonly #store: Store;
  readonly #registration: Registration;
  /** Which queues Redis was told of, and when, of performance.now. */
  readonly #knownQueues = new Map<string, number>();
  #pending: Pending[] = [];

  constructor(store: Store, registration: Registration) {
    this.#store = store;
    this.#registration = registration;
    // A Redis that was restarted may have lost what it knew.
    store.redis.on('close', () => this.#knownQueues.clear());
  }

  /** Never rejects. A task that met a stop on its way is stopped by then. */
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
    for (const some of chunks(pending, JOBS_AT_ONCE)) void this.#send(some, registered);
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

  /** `registered` resolves with the error of the registration, null for none. */
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

  /** Whether a task exists that was not added without an error. */
  async #failureOf(
    task: Pending,
    error: unknown,
    sent: boolean,
  ): Promise<{ readonly task: Pending; readonly error: unknown; readonly exists: Existence }> {
    if (!sent || wasNotDone(this.#store.redis, error)) return { task, error, exists: false };
    return { task, error, exists: isReplyError(error) ? await this.#undo(task) : 'unknown' };
  }

  /** BullMQ's script failed in the middle. */
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

  /** What may have been made by another enqueue of the same id is counted by who can tell, and what a schedule adds, by the worker. */
  #count({ task: { definition }, job: { opts } }: Pending): void {
    if (opts.nonce === undefined && opts.schedule === undefined) this.#store.taskCounters.enqueued(definition);
  }

  /** Resolves those that were added, after the stops that they met on their way are carried out. */
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

  /** What the registration failed with is the second of the results. Jobs that are not sent have no answer. */
  async #add(pending: readonly Pending[], registered: Promise<unknown>): Promise<[Answer[], unknown]> {
    // Where the connection keeps the order, the jobs need not wait for the answer to their registrations.
    if (keepsOrder(this.#store.redis)) return Promise.all([this.#addJobs(pending), registered]);
    const error = await registered;
    return error === null ? [await this.#addJobs(pending), null] : [[], error];
  }

  /** Writes the jobs to the socket together. Never rejects: what fails is the answer to each. */
  async #addJobs(pending: readonly Pending[]): Promise<Answer[]> {
    const { redis, queues, keys } = this.#store;
    const client = createIORedisClient(redis);
    const stream = isCluster(redis) ? null : redis.stream;
    // Not a pipeline: ioredis gives each one every script of its connection, and each command in it two more promises.
    stream?.cork();
    const answers = pending.map(({ queue, job }) => answer(async () => queues.backend(queue).addJobToTransaction(client, job, job.id)));
    // After the jobs: a stop that came too early for a job to be there is seen now.
    const countEarly = (): Promise<Answer> => answer(() => redis.hlen(keys.pendingStops));
    const early = keepsOrder(redis) ? countEarly() : Promise.all(answers).then(countEarly);
    stream?.uncork();
    return Promise.all([...answers, early]);
  }

  /** The stops that these tasks met on their way, by id. Usually there are none, and nothing is asked. */
  async #stopsMet(pending: readonly Pending[], pendingStops: number): Promise<Map<string, StopMet>> {
    const { keys, pendingStops: early } = this.#store;
    const met = new Map<string, StopMet>();
    if (pendingStops > 0)
      for (const [id, stop] of await early.find(pending.map(({ job }) => job.id))) met.set(id, { ...stop, inherited: false });
    // Only now that the parent is marked: a stop before the mark is seen here, one after it sees the mark.
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

  /** The stop found no job to be recorded with, or was its parent's: it is for us to carry it out. */
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

  /** These jobs do not exist: Redis refused to add them, for want of memory for example, or they were not sent. */
  async #unregister(missing: readonly Pending[]): Promise<void> {
    const { redis, registry } = this.#store;
    if (missing.length === 0 || redis.status !== 'ready') return;
    const writes = registry.writes();
    for (const { job } of missing) writes.remove(job.id, membershipsOf(job.opts));
    // The callers get the refusal; an entry that stays is the reconciler's.
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
