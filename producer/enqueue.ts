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
    await this.#add(task, id, nonce);
    const { queue } = task.definition;
    const [options = null, finishedOn = null] = await this.#redis.hmget(this.#keys.jobs(queue) + id, 'opts', 'finishedOn');
    const stored = parseOptions(options);
    const ended = options === null || finishedOn !== null;
    const duplicate = options !== null && stored.nonce !== nonce;
    const item = duplicate ? (stored.item ?? '') : task.item;
    if (ended || item !== task.item) await this.#correct(id, queue, task.item, ended ? null : item);
    return enqueued(task, id, item, duplicate);
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
    const registered = this.#register(pending);
    for (let from = 0; from < pending.length; from += PIPELINE_SIZE) {
      void this.#send(pending.slice(from, from + PIPELINE_SIZE), registered);
    }
  }

  async #register(pending: readonly Pending[]): Promise<void> {
    const writes = new MergedWrites(this.#keys);
    const pipeline = this.#redis.pipeline();
    for (const { job, item, queue } of pending) {
      writes.add({ id: job.id, item, queue, at: job.timestamp });
      if (!this.#knownQueues.has(queue)) pipeline.sadd(this.#keys.queues, queue);
      this.#knownQueues.add(queue);
    }
    writes.flushInto(pipeline);
    const failed = (await pipeline.exec())?.find(([error]) => error !== null);
    if (failed) throw failed[0] as Error;
  }

  async #send(pending: readonly Pending[], registered: Promise<void>): Promise<void> {
    try {
      // A queue that is new teaches the connection its scripts, and a pipeline knows only those that were there before it.
      for (const { queue } of pending) this.#queues.get(queue);
      const pipeline = createIORedisClient(this.#redis).pipeline();
      const transaction = pipeline as unknown as Transaction;
      await Promise.all(pending.map(({ queue, job }) => this.#queues.backend(queue).addJobToTransaction(transaction, job, job.id)));
      const [replies] = await Promise.all([pipeline.exec(), registered]);
      const refused = pending.filter((task, index) => {
        const error = replies?.[index]?.[0] ?? null;
        if (error === null) task.resolve();
        else task.reject(asUnavailable(this.#redis, error));
        return error instanceof Error && error.name === 'ReplyError';
      });
      if (refused.length > 0) await this.#unregister(refused);
    } catch (error) {
      for (const { reject } of pending) reject(asUnavailable(this.#redis, error));
    }
  }

  /** Redis refused to add these jobs, for want of memory for example: they do not exist. */
  async #unregister(refused: readonly Pending[]): Promise<void> {
    const writes = new MergedWrites(this.#keys);
    for (const { job, item } of refused) writes.remove(job.id, item);
    const pipeline = this.#redis.pipeline();
    writes.flushInto(pipeline);
    await pipeline.exec();
  }
}

function enqueued({ definition }: PreparedTask, id: string, item: string, duplicate: boolean): EnqueuedTask {
  return { id, name: definition.name, queue: definition.queue, item: item || null, duplicate };
}
