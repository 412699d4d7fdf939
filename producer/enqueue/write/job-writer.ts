import type { Refused } from '../../../shared/limiter/standing.js';
import { chunks } from '../../../shared/limits.js';
import { wasNotDone } from '../../../shared/redis/connection-errors.js';
import { isReplyError } from '../../../shared/redis/reply-errors.js';
import type { Registrar } from '../../../shared/registry/registrar.js';
import { parseStop } from '../../../shared/stop/receipt.js';
import type { Store } from '../../../shared/store.js';
import type { JobAddress } from '../../../shared/task/job-options.js';
import type { Carrier } from '../../../shared/tracing/carrier.js';
import type { Existence } from '../failure.js';
import type { PreparedTask } from '../prepare.js';
import { type Admitted, type Unwritten, admit, needsAdmission } from './admission.js';
import { BatchRegistration } from './batch-registration.js';
import { type Addition, JobAdder } from './job-adder.js';
import { optionsOf } from './task-options.js';
import { TurnEnd } from './turn-end.js';

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
  /** The context of its request. */
  readonly carrier?: Carrier | undefined;
}

/** The result of writing a task. */
export type WrittenTask =
  /** The task was added; `stop` arrived meanwhile, or is null. `rivals` are the tasks to stop in its favour. */
  | { readonly stop: StopMet | null; readonly rivals: readonly string[] }
  /** The limiter refused the task, and nothing was written. */
  | { readonly refused: Refused }
  /** Another task stands for its deduplication key, and the task was not added. */
  | { readonly isTaken: true }
  /** The task was not added, or a later step failed. */
  | { readonly error: unknown; readonly exists: Existence };

interface Pending extends Unwritten {
  readonly registered: boolean;
  /** Null for a task that needs no admission. */
  readonly standing: Admitted | null;
  readonly resolve: (written: WrittenTask) => void;
}

/** Tasks per admission: as many as the limiter admits in one script. */
const ADMITTED_AT_ONCE = 50;
const NONE: readonly string[] = Object.freeze([]);

/** Writes tasks. Batches all writes of one event loop turn, and sends their registrations first. */
export class JobWriter {
  readonly #store: Store;
  readonly #registrar: Registrar;
  readonly #registration: BatchRegistration;
  readonly #adder: JobAdder;
  #pending: Pending[] = [];
  readonly #end = new TurnEnd(() => this.#flush());

  constructor(store: Store, registrar: Registrar) {
    this.#store = store;
    this.#registrar = registrar;
    this.#registration = new BatchRegistration(store, registrar);
    this.#adder = new JobAdder(store, registrar, this.#registration);
  }

  /** Writes a task, together with the others of this turn. A stop that arrived meanwhile has been carried out when `resolve` is called. */
  write(
    task: PreparedTask,
    { queue, id }: JobAddress,
    { nonce, registered = false }: WriteOptions,
    resolve: (written: WrittenTask) => void,
  ): void {
    const { definition, data, dedupe } = task;
    const deduplicationId = dedupe?.id;
    const timestamp = this.#store.clock.now();
    const job = { id, name: definition.name, data, opts: optionsOf(task, nonce), timestamp, deduplicationId } as unknown as Pending['job'];
    this.#pending.push({ task, queue, job, registered, standing: null, resolve });
    this.#end.request();
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = [];
    const limited = pending.filter(({ task }) => needsAdmission(task));
    if (limited.length < pending.length)
      this.#writeAll(limited.length === 0 ? pending : pending.filter(({ task }) => !needsAdmission(task)));
    for (const batch of chunks(limited, ADMITTED_AT_ONCE)) void this.#admitAll(batch);
  }

  /** Admits tasks and writes those that were not refused. Apart from the others, which need not wait for the limiter. */
  async #admitAll(pending: readonly Pending[]): Promise<void> {
    const outcomes = await Promise.all(pending.map((one) => admit(this.#store.limiter, one)));
    const admitted = outcomes.flatMap((outcome, index): Pending[] => {
      const one = pending[index] as Pending;
      if ('standing' in outcome) return [{ ...one, ...outcome }];
      one.resolve(outcome);
      return [];
    });
    if (admitted.length > 0) this.#writeAll(admitted);
  }

  #writeAll(pending: readonly Pending[]): void {
    for (const adding of this.#adder.add(pending))
      void adding.then((addition) => {
        if (isPlain(addition)) for (const task of addition.tasks) this.#resolve(task);
        else void this.#settle(addition);
      });
  }

  #resolve(task: Pending): void {
    this.#count(task);
    task.resolve({ stop: null, rivals: task.standing?.rivals ?? NONE });
  }

  async #settle({ tasks: pending, replies, unregistered, pendingStops }: Addition<Pending>): Promise<void> {
    const sent = replies.length > 0;
    const isAdded = (index: number): boolean => replies[index]?.[0] === null;
    // Unless another task stands for the deduplication key, BullMQ returns the job's own id, also for the repetition of a lost reply.
    const taken = pending.filter(({ task, job }, index) => task.dedupe !== null && isAdded(index) && replies[index]?.[1] !== job.id);
    const added = pending.filter((task, index) => isAdded(index) && !taken.includes(task));
    const others = pending.flatMap((task, index) =>
      isAdded(index) ? [] : [this.#failureOf(task, replies[index]?.[0] ?? unregistered, sent)],
    );
    const failed = others.length === 0 ? [] : await Promise.all(others);
    for (const { task, exists } of failed) if (exists === true) added.push(task);
    if (added.length > 0 && unregistered !== null) this.#registrar.report(unregistered);
    if (taken.length > 0) void this.#drop(taken);
    this.#recheck(added);
    await this.#conclude(added, pendingStops);
    if (failed.length === 0) return;
    await this.#unregister(failed.flatMap(({ task, exists }) => (exists === false ? [task] : [])));
    for (const { task, exists, error } of failed) if (exists !== true) task.resolve({ error, exists });
  }

  /** Parked tasks may have been admitted before their jobs existed. */
  #recheck(added: readonly Pending[]): void {
    const parked = added.flatMap(({ standing, job }) => (standing?.kind === 'line' ? [job.id] : []));
    if (parked.length > 0) this.#store.limiter.recheckLater(parked);
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
        else task.resolve({ stop: null, rivals: task.standing?.rivals ?? NONE });
      }
    } catch (error) {
      for (const { resolve } of added) resolve({ error, exists: true });
    }
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
  async #stop({ job: { id }, standing, resolve }: Pending, stop: StopMet): Promise<void> {
    const { stopper, pendingStops } = this.#store;
    try {
      await stopper.request([id], { reason: stop.reason, by: stop.by, carrier: stop.carrier });
      await pendingStops.clear([id]);
      resolve({ stop, rivals: standing?.rivals ?? NONE });
    } catch (error) {
      resolve({ error, exists: true });
    }
  }

  /** Resolves the tasks that were not added because other ones stand for their deduplication keys. */
  async #drop(taken: readonly Pending[]): Promise<void> {
    // Another enqueue of a caller's id may have added it: `Enqueuer` finds out.
    await Promise.all([this.#unregister(taken.filter(({ job }) => job.opts.nonce === undefined)), this.#release(taken)]);
    for (const { resolve } of taken) resolve({ isTaken: true });
  }

  /** Forgets tasks whose jobs do not exist: Redis refused them (out of memory, for example), or they were not sent. */
  async #unregister(missing: readonly Pending[]): Promise<void> {
    if (missing.length > 0 && this.#store.redis.status === 'ready')
      await Promise.all([this.#registration.remove(missing), this.#release(missing)]);
  }

  /** Takes back the admission of tasks that do not exist. With a caller's id, another enqueue may have made the task's record. */
  async #release(missing: readonly Pending[]): Promise<void> {
    const admitted = missing.filter(({ standing }) => standing !== null);
    const releasing = admitted.map(({ job }) => this.#store.limiter.release([job.id], job.opts.nonce));
    // A leftover record is dropped once its task has been missing from the registry for a while.
    await Promise.allSettled(releasing);
  }
}

/** Whether all tasks were added, and nothing is left to do: the same as `#settle` would find out, for less. */
function isPlain({ tasks, replies, unregistered, pendingStops }: Addition<Pending>): boolean {
  if (unregistered !== null || pendingStops > 0) return false;
  return tasks.every(
    ({ task: { parent }, standing, job }, index) => parent === null && standing === null && replies[index]?.[1] === job.id,
  );
}
