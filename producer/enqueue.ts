import { type JobJson, type RedisQueueBackend, createIORedisClient } from 'bullmq';
import { uuidv7 } from 'uuidv7';
import type { Keys } from '../shared/keys.js';
import { asUnavailable } from '../shared/redis/connect.js';
import { MergedWrites } from '../shared/registry/merged-writes.js';
import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';
import { jobOptions } from '../shared/task/job-options.js';
import type { Queues } from '../shared/task/queues.js';
import type { TaskReader } from '../shared/task/task-reader.js';
import { parseOptions } from '../shared/task/view.js';
import type { PreparedTask } from './prepare.js';

export interface EnqueuedTask<Output = unknown> {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly item: string | null;
  /** True if a task with this id existed already, and nothing was added. */
  readonly duplicate: boolean;
  /** Carries the type of the result; never set. */
  readonly output?: Output;
}

interface Pending {
  readonly queue: string;
  readonly item: string;
  readonly job: JobJson;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

type Transaction = Parameters<RedisQueueBackend['addJobToTransaction']>[0];

/** Jobs in one pipeline: enough to share its cost, few enough that Redis works on one while we build the next. */
const PIPELINE_SIZE = 64;

/** Adds tasks. What is enqueued in one turn of the event loop goes out together, its registrations first. */
export class Enqueuer {
  readonly #redis: ScriptedRedis;
  readonly #queues: Queues;
  readonly #reader: TaskReader;
  readonly #keys: Keys;
  readonly #knownQueues = new Set<string>();
  #pending: Pending[] = [];

  constructor(redis: ScriptedRedis, queues: Queues, reader: TaskReader, keys: Keys) {
    this.#redis = redis;
    this.#queues = queues;
    this.#reader = reader;
    this.#keys = keys;
    // A Redis that was restarted may have lost what it knew.
    redis.on('close', () => this.#knownQueues.clear());
  }

  /** @throws FleetError `REDIS_UNAVAILABLE`. If the connection broke in the middle, the task may have been added. */
  async enqueue(task: PreparedTask): Promise<EnqueuedTask> {
    if (task.id !== null) return (await this.#existing(task.id)) ?? (await this.#addOnce(task, task.id));
    const id = uuidv7();
    await this.#add(task, id);
    return enqueued(task, id, task.item, false);
  }

  async #existing(id: string): Promise<EnqueuedTask | null> {
    const task = (await this.#reader.read([id])).get(id);
    return task ? { id, name: task.name ?? '', queue: task.queue ?? '', item: task.item, duplicate: true } : null;
  }

  /** Adds a task under an id of the caller's, which another producer may be adding at this very moment. */
  async #addOnce(task: PreparedTask, id: string): Promise<EnqueuedTask> {
    const nonce = uuidv7();
    const { queue } = task.definition;
    await this.#add(task, id, nonce);
    for (let registered = task.item; ; ) {
      const [options = null, finishedOn = null] = await this.#redis.hmget(this.#keys.jobs(queue) + id, 'opts', 'finishedOn');
      const stored = parseOptions(options);
      const ended = options === null || finishedOn !== null;
      const duplicate = options !== null && stored.nonce !== nonce;
      const item = duplicate ? (stored.item ?? '') : task.item;
      if (ended || item !== registered) await this.#correct(id, queue, registered, ended ? null : item);
      if (ended || item === registered) return enqueued(task, id, item, duplicate);
      // It may have ended before the correction, and been removed from the registry by the worker: so look again.
      registered = item;
    }
  }

  /** What we registered is not so: another enqueue made the task (then `actual` is its item), or it is over (null). */
  async #correct(id: string, queue: string, registered: string, actual: string | null): Promise<void> {
    const pipeline = this.#redis.pipeline();
    const undo = new MergedWrites(this.#keys);
    undo.remove(id, registered);
    undo.flushInto(pipeline);
    const redo = new MergedWrites(this.#keys);
    if (actual !== null) redo.add({ id, item: actual, queue, at: Date.now() });
    redo.flushInto(pipeline);
    await pipeline.exec();
  }

  #add({ definition, data, item, delay, priority }: PreparedTask, id: string, nonce?: string): Promise<void> {
    const opts = { ...jobOptions(definition), item, ...(delay > 0 && { delay }), ...(priority > 0 && { priority }), ...(nonce && { nonce }) };
    const job = { id, name: definition.name, data, opts, timestamp: Date.now() } as unknown as JobJson;
    return new Promise((resolve, reject) => {
      if (this.#pending.push({ queue: definition.queue, item, job, resolve, reject }) === 1) setImmediate(() => this.#flush());
    });
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    // Not awaited before the jobs go out: the connection keeps the order.
    const registered = this.#register(pending).then(() => null, (error: unknown) => error);
    for (let from = 0; from < pending.length; from += PIPELINE_SIZE) {
      void this.#send(pending.slice(from, from + PIPELINE_SIZE), registered);
    }
  }

  async #register(pending: readonly Pending[]): Promise<void> {
    const writes = new MergedWrites(this.#keys);
    const newQueues = new Set<string>();
    for (const { job, item, queue } of pending) {
      writes.add({ id: job.id, item, queue, at: job.timestamp });
      if (!this.#knownQueues.has(queue)) newQueues.add(queue);
    }
    const known = [...newQueues].map((queue) => this.#redis.sadd(this.#keys.queues, queue));
    await Promise.all([...known, ...writes.flushInto(this.#redis)]);
    for (const queue of newQueues) this.#knownQueues.add(queue);
  }

  /** `registered` resolves with the error of the registration, null for none. */
  async #send(pending: readonly Pending[], registered: Promise<unknown>): Promise<void> {
    const [replies, unregistered] = await Promise.all([this.#addJobs(pending), registered]);
    const failed: { task: Pending; error: unknown; refused: boolean }[] = [];
    pending.forEach((task, index) => {
      const refusal = replies[index]?.[0] ?? null;
      const error = refusal ?? unregistered;
      if (error === null) task.resolve();
      else failed.push({ task, error, refused: refusal instanceof Error && refusal.name === 'ReplyError' });
    });
    if (failed.length === 0) return;
    await this.#unregister(failed.flatMap(({ task, refused }) => (refused ? [task] : [])));
    for (const { task, error } of failed) task.reject(asUnavailable(this.#redis, error));
  }

  /** Never rejects: what fails for all of them is the reply to each. */
  async #addJobs(pending: readonly Pending[]): Promise<[error: unknown, reply?: unknown][]> {
    try {
      // A queue that is new teaches the connection its scripts, and a pipeline knows only those that were there before it.
      for (const { queue } of pending) this.#queues.get(queue);
      const pipeline = createIORedisClient(this.#redis).pipeline();
      const transaction = pipeline as unknown as Transaction;
      await Promise.all(pending.map(({ queue, job }) => this.#queues.backend(queue).addJobToTransaction(transaction, job, job.id)));
      return (await pipeline.exec()) ?? [];
    } catch (error) {
      return pending.map(() => [error]);
    }
  }

  /** Redis refused to add these jobs, for want of memory for example: they do not exist. */
  async #unregister(refused: readonly Pending[]): Promise<void> {
    if (refused.length === 0) return;
    const writes = new MergedWrites(this.#keys);
    for (const { job, item } of refused) writes.remove(job.id, item);
    const pipeline = this.#redis.pipeline();
    writes.flushInto(pipeline);
    await pipeline.exec().catch(() => undefined); // the callers get the refusal; an entry that stays is the reconciler's
  }
}

function enqueued({ definition }: PreparedTask, id: string, item: string, duplicate: boolean): EnqueuedTask {
  return { id, name: definition.name, queue: definition.queue, item: item || null, duplicate };
}
