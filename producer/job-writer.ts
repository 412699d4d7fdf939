import { type JobJson, createIORedisClient } from 'bullmq';
import { chunks } from '../shared/chunks.js';
import { asUnavailable } from '../shared/redis/connection-errors.js';
import { isCluster, keepsOrder } from '../shared/redis/connection.js';
import { MergedWrites } from '../shared/registry/merged-writes.js';
import { parseStop } from '../shared/stop/record.js';
import type { Store } from '../shared/store.js';
import { jobOptions, membershipsOf } from '../shared/task/job-options.js';
import type { JobAddress, TaskJobOptions } from '../shared/task/options-record.js';
import type { PreparedTask } from './prepare.js';

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

interface Pending {
  readonly task: PreparedTask;
  readonly queue: string;
  readonly job: JobJson & { readonly opts: TaskJobOptions };
  readonly registered: boolean;
  readonly resolve: (stop: StopMet | null) => void;
  readonly reject: (error: unknown) => void;
}

type Answer = [error: unknown, reply?: unknown];

/** Jobs in one write: enough to share its cost, few enough that Redis works on one write while we build the next. */
const JOBS_AT_ONCE = 64;

/** Writes tasks. What is written in one turn of the event loop goes out together, its registrations first. */
export class JobWriter {
  readonly #store: Store;
  readonly #knownQueues = new Set<string>();
  #pending: Pending[] = [];

  constructor(store: Store) {
    this.#store = store;
    // A Redis that was restarted may have lost what it knew.
    store.redis.on('close', () => this.#knownQueues.clear());
  }

  /** Resolves with the stop that the task met on its way, null for none; the task is stopped then. */
  write(task: PreparedTask, { queue, id }: JobAddress, { nonce, registered = false }: WriteOptions = {}): Promise<StopMet | null> {
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
    const job = { id, name: definition.name, data, opts, timestamp: Date.now() } as unknown as Pending['job'];
    return new Promise((resolve, reject) => {
      if (this.#pending.push({ task, queue, job, registered, resolve, reject }) === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    const registered = this.#register(pending).then(() => null, (error: unknown) => error);
    for (const some of chunks(pending, JOBS_AT_ONCE)) void this.#send(some, registered);
  }

  async #register(pending: readonly Pending[]): Promise<void> {
    const { redis, keys } = this.#store;
    const writes = new MergedWrites(keys);
    const newQueues = new Set<string>();
    const parents = new Set<string>();
    const sent: unknown[] = [];
    for (const { job, task, queue, registered } of pending) {
      if (!registered) writes.add({ id: job.id, ...membershipsOf(job.opts), queue, at: job.timestamp });
      if (!this.#knownQueues.has(queue)) newQueues.add(queue);
      if (task.parent) parents.add(keys.jobs(task.parent.queue) + task.parent.id);
    }
    for (const parent of parents) sent.push(redis.markParent(parent));
    for (const queue of newQueues) sent.push(redis.sadd(keys.queues, queue));
    await Promise.all([...sent, ...writes.flushInto(redis)]);
    for (const queue of newQueues) this.#knownQueues.add(queue);
  }

  /** `registered` resolves with the error of the registration, null for none. */
  async #send(pending: readonly Pending[], registered: Promise<unknown>): Promise<void> {
    const [replies, unregistered] = await this.#add(pending, registered);
    const failed: { task: Pending; error: unknown; refused: boolean }[] = [];
    const added: Pending[] = [];
    pending.forEach((task, index) => {
      const refusal = replies[index]?.[0] ?? null;
      const error = refusal ?? unregistered;
      if (error === null) added.push(task);
      else failed.push({ task, error, refused: refusal instanceof Error && refusal.name === 'ReplyError' });
    });
    await this.#conclude(added, Number(replies[pending.length]?.[1] ?? 0));
    if (failed.length === 0) return;
    await this.#unregister(failed.flatMap(({ task, refused }) => (refused ? [task] : [])));
    for (const { task, error } of failed) task.reject(asUnavailable(this.#store.redis, error));
  }

  /** What may have been made by another enqueue of the same id is counted by who can tell, and what a schedule adds, by the worker. */
  #count({ task: { definition }, job: { opts } }: Pending): void {
    if (opts.nonce === undefined && opts.schedule === undefined) this.#store.tally.enqueued(definition);
  }

  /** Resolves those that were added, after the stops that they met on their way are carried out. */
  async #conclude(added: readonly Pending[], earlyStops: number): Promise<void> {
    for (const task of added) this.#count(task);
    try {
      const met = await this.#stopsMet(added, earlyStops);
      for (const task of added) {
        const stop = met.get(task.job.id);
        if (stop) void this.#stop(task, stop);
        else task.resolve(null);
      }
    } catch (error) {
      for (const { reject } of added) reject(asUnavailable(this.#store.redis, error));
    }
  }

  /** What the registration failed with is the second of the results. */
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
    const countEarly = (): Promise<Answer> => answer(() => redis.hlen(keys.earlyStops));
    const early = keepsOrder(redis) ? countEarly() : Promise.all(answers).then(countEarly);
    stream?.uncork();
    return Promise.all([...answers, early]);
  }

  /** The stops that these tasks met on their way, by id. Usually there are none, and nothing is asked. */
  async #stopsMet(pending: readonly Pending[], earlyStops: number): Promise<Map<string, StopMet>> {
    const { redis, keys, earlyStops: early } = this.#store;
    const met = new Map<string, StopMet>();
    if (earlyStops > 0) for (const [id, stop] of await early.find(pending.map(({ job }) => job.id))) met.set(id, { ...stop, inherited: false });
    // Only now that the parent is marked: a stop before the mark is seen here, one after it sees the mark.
    const children = pending.flatMap(({ task: { parent }, job: { id } }) => (parent ? [{ id, parent }] : []));
    const stops = await Promise.all(children.map(({ parent }) => redis.hget(keys.jobs(parent.queue) + parent.id, 'stop')));
    children.forEach(({ id, parent }, index) => {
      const stop = parseStop(stops[index], null) ?? parent.stop;
      if (stop) met.set(id, { ...stop, inherited: true });
    });
    return met;
  }

  /** The stop found no job to be recorded with, or was its parent's: it is for us to carry it out. */
  async #stop({ job: { id }, resolve, reject }: Pending, stop: StopMet): Promise<void> {
    const { stopper, earlyStops, redis } = this.#store;
    try {
      await stopper.request([id], { reason: stop.reason, by: stop.by });
      await earlyStops.clear([id]);
      resolve(stop);
    } catch (error) {
      reject(asUnavailable(redis, error));
    }
  }

  /** Redis refused to add these jobs, for want of memory for example: they do not exist. */
  async #unregister(refused: readonly Pending[]): Promise<void> {
    if (refused.length === 0) return;
    const { redis, keys } = this.#store;
    const writes = new MergedWrites(keys);
    for (const { job } of refused) writes.remove(job.id, membershipsOf(job.opts));
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
