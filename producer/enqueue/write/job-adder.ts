import { type IRedisClient, type RedisQueueBackend, createIORedisClient } from 'bullmq';
import { groupBy } from '../../../shared/groups.js';
import { keepsOrder } from '../../../shared/redis/connection.js';
import type { Registrar } from '../../../shared/registry/registrar.js';
import { ADD_KEYS } from '../../../shared/scripts/add-tasks.js';
import type { Store } from '../../../shared/store.js';
import type { BatchRegistration, Registered } from './batch-registration.js';

type Answer = readonly [error: unknown, reply?: unknown];

/** What Redis answered to the tasks of a batch. */
export interface Addition<Task> {
  readonly tasks: readonly Task[];
  /** BullMQ's reply for each task, or an error; none if their jobs were not sent. */
  readonly replies: readonly Answer[];
  /** The error of the registration, or null. */
  readonly unregistered: unknown;
  /** The number of stops that arrived before their jobs. */
  readonly pendingStops: number;
}

/** Jobs per script, which blocks Redis, and characters of their inputs; a longer input has a script of its own. */
const JOBS_AT_ONCE = 64;
const LENGTH_AT_ONCE = 65_536;

/** Sends the registrations of tasks, then their jobs, then looks for stops that came before the jobs existed. */
export class JobAdder {
  constructor(
    private readonly store: Store,
    private readonly registrar: Registrar,
    private readonly registration: BatchRegistration,
  ) {}

  /** Adds tasks, in batches that never reject. */
  add<Task extends Registered>(tasks: readonly Task[]): Promise<Addition<Task>>[] {
    // On a cluster, the registry and the queue are in different slots.
    if (!keepsOrder(this.store.redis)) return [this.#addInSteps(tasks)];
    const apart = tasks.filter((task) => !isStandard(task));
    const together = apart.length === 0 ? tasks : tasks.filter(isStandard);
    const adding: Promise<Addition<Task>>[] = [];
    for (const [queue, some] of groupBy(together, (task) => task.queue))
      for (const batch of batchesOf(some)) adding.push(this.#addTogether(queue, batch));
    if (apart.length > 0) adding.push(this.#addInSteps(apart));
    return adding;
  }

  /** Registers tasks and adds their jobs by one script. */
  async #addTogether<Task extends Registered>(queue: string, tasks: readonly Task[]): Promise<Addition<Task>> {
    const { redis, queues, keys } = this.store;
    try {
      let scriptKeys: readonly Argument[] = [];
      const backend = queues.backend(queue);
      const { commands, done } = this.registration.collect(tasks);
      const words: Argument[] = [];
      for (const { job } of tasks) {
        const call = callOf(backend, job);
        if (words.length === 0) {
          scriptKeys = call.slice(0, ADD_KEYS);
          words.push(...scriptKeys, keys.pendingStops, JSON.stringify(commands));
        }
        for (let i = ADD_KEYS; i < call.length; i += 1) words.push(call[i] as Argument);
      }
      const [pendingStops, errors, ...results] = await redis.addTasks(words);
      const refused = errors.flatMap((error, index) =>
        error instanceof Error ? [errorOf(error, commands[errors[index - 1] as number])] : [],
      );
      const unregistered = refused.length === 0 ? null : this.registrar.passing(refused);
      if (unregistered === null) done();
      const replies = results.map((reply): Answer =>
        reply instanceof Error ? [errorOf(reply, ['EVALSHA', '', ADD_KEYS, ...scriptKeys])] : [null, reply],
      );
      return { tasks, replies, unregistered, pendingStops };
    } catch (error) {
      return { tasks, replies: tasks.map((): Answer => [error]), unregistered: error, pendingStops: 0 };
    }
  }

  /** Registers tasks, then adds each job by a command of its own. */
  async #addInSteps<Task extends Registered>(tasks: readonly Task[]): Promise<Addition<Task>> {
    const registered = this.registration.add(tasks).then(
      () => null,
      (error: unknown) => error,
    );
    // On a single connection the order is kept, so jobs need not wait for the registrations' replies.
    if (!keepsOrder(this.store.redis)) {
      const error = await registered;
      if (error !== null) return { tasks, replies: [], unregistered: error, pendingStops: 0 };
    }
    const [[replies, early], unregistered] = await Promise.all([this.#addJobs(tasks), registered]);
    return { tasks, replies, unregistered, pendingStops: Number(early[1] ?? 0) };
  }

  /** Never rejects: errors are in the answers. */
  async #addJobs(tasks: readonly Registered[]): Promise<[replies: Answer[], early: Answer]> {
    const { redis, queues, keys } = this.store;
    const client = createIORedisClient(redis);
    // Not a pipeline: ioredis defines every script on each pipeline and adds two promises to each command.
    const answers = Promise.all(
      tasks.map(({ queue, job }) => answer(() => queues.backend(queue).addJobToTransaction(client, job, job.id))),
    );
    // Sent after the jobs, to see the stops that came before their jobs existed.
    const countEarly = (): Promise<Answer> => answer(() => redis.hlen(keys.pendingStops));
    return Promise.all([answers, keepsOrder(redis) ? countEarly() : answers.then(countEarly)]);
  }
}

/** Whether BullMQ adds the job by its script `addStandardJob`, and the task has no parent to mark. */
function isStandard({ task, job: { opts } }: Registered): boolean {
  return task.parent === null && !opts.delay && !opts.priority;
}

/** Splits tasks into batches for a script each, in their order. */
function batchesOf<Task extends Registered>(tasks: readonly Task[]): Task[][] {
  const batches: Task[][] = [];
  let [batch, length]: [Task[], number] = [[], 0];
  for (const task of tasks) {
    if (batch.length === JOBS_AT_ONCE || (batch.length > 0 && length + task.task.data.length > LENGTH_AT_ONCE)) {
      batches.push(batch);
      [batch, length] = [[], 0];
    }
    batch.push(task);
    length += task.task.data.length;
  }
  return [...batches, batch];
}

type Argument = string | number | Buffer;

/** Receives the keys and arguments of BullMQ's script, instead of calling it. */
class CapturedCall {
  args: readonly Argument[] = [];

  runCommand(_name: string, args: readonly Argument[]): Promise<number> {
    this.args = args;
    return CAPTURED;
  }
}

const CAPTURED = Promise.resolve(0);

/** Returns the keys and arguments with which BullMQ would add a job. */
function callOf(backend: RedisQueueBackend, job: Registered['job']): readonly Argument[] {
  const call = new CapturedCall();
  backend.addJobToTransaction(call as unknown as IRedisClient, job, job.id).catch(() => undefined);
  if (call.args.length === 0) throw new Error(`BullMQ could not encode the job ${job.id}`);
  return call.args;
}

/** Gives an error within a reply the command that it is about. */
function errorOf(error: Error, [name, ...args]: readonly unknown[] = []): Error {
  return Object.assign(error, { command: { name, args } });
}

/** Not an async function, which would cost each job two more promises. */
function answer(command: () => Promise<unknown>): Promise<Answer> {
  try {
    return command().then(
      (reply) => [null, reply],
      (error: unknown) => [error],
    );
  } catch (error) {
    return Promise.resolve([error]);
  }
}
