import { randomBytes } from 'node:crypto';
import { isFleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import type { Replicas } from '../../shared/redis/replicas.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { Registrar } from '../../shared/registry/registrar.js';
import { StopRequested } from '../../shared/stop/cause.js';
import { queuesOf } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import type { JobAddress } from '../../shared/task/job-options.js';
import type { Carrier } from '../../shared/tracing/carrier.js';
import { repeated } from '../calls.js';
import { CallersIds } from './callers-ids.js';
import { ItemClaims } from './claims.js';
import { Deduplication } from './deduplication.js';
import { type EnqueuedTask, NONE, enqueued, placeOf } from './enqueued-task.js';
import { type Existence, afterAttempt, confirmTask, enqueueFailure } from './failure.js';
import { newTaskId } from './new-id.js';
import type { PreparedTask } from './prepare.js';
import { itemBusy, refusal } from './when-busy.js';
import { JobWriter, type WriteOptions, type WrittenTask } from './write/job-writer.js';

interface EnqueuerOptions {
  readonly store: Store;
  readonly settings: ConnectedSettings;
  readonly replicas: EnqueueReplicas;
  readonly logger: Logger;
}

/** The replica waits before an enqueue is acknowledged: for the task, and for the stops of superseded tasks. */
interface EnqueueReplicas {
  readonly enqueues: Replicas;
  readonly stops: Replicas;
}

/** Distinguishes the enqueues of one id. Short, since each job's options have it. */
const NONCE_BYTES = 8;

/** What became of a task of several. */
export type EnqueueResult = PromiseSettledResult<EnqueuedTask>;

/** Adds tasks, idempotently if the caller gives an id. */
export class Enqueuer {
  readonly #store: Store;
  readonly #callersIds: CallersIds;
  readonly #writer: JobWriter;
  readonly #claims: ItemClaims;
  readonly #deduplication: Deduplication;
  readonly #settings: ConnectedSettings;
  readonly #replicas: EnqueueReplicas;

  constructor({ store, settings, replicas, logger }: EnqueuerOptions) {
    this.#store = store;
    this.#settings = settings;
    this.#replicas = replicas;
    const registrar = new Registrar(store.unreadable, logger);
    this.#writer = new JobWriter(store, registrar);
    this.#callersIds = new CallersIds(store, registrar, settings);
    this.#claims = new ItemClaims(store, settings.enqueueGraceMs);
    this.#deduplication = new Deduplication(store);
  }

  /**
   * @throws FleetError `ITEM_BUSY`, `PARENT_HOLDS_KEY`, `NOT_REPLICATED`; `REDIS_UNAVAILABLE`, `REDIS_OUT_OF_MEMORY`, `REDIS_WRONG_TYPE`
   *   or `REDIS_ERROR`, whose `details.exists` says whether the task exists; StopRequested for a child whose parent was stopped, which stops the child too
   */
  enqueue(task: PreparedTask): Promise<EnqueuedTask> {
    if (this.#isWrittenAtOnce(task)) return new Promise((resolve) => this.#writeAtOnce(task, resolve));
    return this.#enqueueByPolicy(task);
  }

  async #enqueueByPolicy(task: PreparedTask): Promise<EnqueuedTask> {
    try {
      return await this.#enqueueReplicated(task);
    } catch (error) {
      // Nothing was sent yet, but a caller's id may belong to a task that was added earlier.
      throw enqueueFailure(this.#store.redis, error, task.id, task.id === null ? false : 'unknown');
    }
  }

  /** Adds tasks in their order, with as few commands as possible. Returns the result of each. Never rejects. */
  enqueueAll(tasks: readonly PreparedTask[]): Promise<EnqueueResult[]> {
    const results: EnqueueResult[] = [];
    let pending = tasks.length;
    return new Promise((resolve) => {
      const settle = (index: number, result: EnqueueResult): void => {
        results[index] = result;
        pending -= 1;
        if (pending === 0) resolve(results);
      };
      const settleLater = (index: number, added: Promise<EnqueuedTask>): void =>
        void added.then(
          (value) => settle(index, { status: 'fulfilled', value }),
          (reason: unknown) => settle(index, { status: 'rejected', reason }),
        );
      tasks.forEach((task, index) => {
        const done = (added: EnqueuedTask | Promise<EnqueuedTask>): void =>
          added instanceof Promise ? settleLater(index, added) : settle(index, { status: 'fulfilled', value: added });
        if (this.#isWrittenAtOnce(task)) this.#writeAtOnce(task, done);
        else done(this.#enqueueByPolicy(task));
      });
    });
  }

  /** Whether nothing comes before the write of a task, and nothing after it if all goes well: a promise for each would cost more. */
  #isWrittenAtOnce({ id, dedupe, onBusy }: PreparedTask): boolean {
    return id === null && dedupe === null && onBusy === null && !this.#replicas.enqueues.wanted && !this.#store.onStep;
  }

  /** Calls `done` with the added task, or with a promise of it if something is left to do. */
  #writeAtOnce(task: PreparedTask, done: (added: EnqueuedTask | Promise<EnqueuedTask>) => void): void {
    const at = placeOf(task, newTaskId());
    this.#writer.write(task, at, {}, (written) =>
      done(isPlain(written) ? enqueued(task, at, task.item, false) : this.#addWritten(task, at, written)),
    );
  }

  /** Completes the enqueue of a task that was written, or tries again. */
  async #addWritten(task: PreparedTask, at: JobAddress, written: WrittenTask): Promise<EnqueuedTask> {
    const rivals = await this.#write(task, at, {}, written);
    return this.#superseding(task, enqueued(task, at, task.item, false), rivals ?? NONE);
  }

  async #enqueueReplicated(task: PreparedTask): Promise<EnqueuedTask> {
    const { enqueues } = this.#replicas;
    if (!enqueues.wanted) return this.#enqueue(task);
    let written = enqueues.begin();
    const added = await this.#enqueue(task);
    let lost = false;
    try {
      await this.#repeated(async () => {
        if (lost) {
          // After a failover, the new master may lack the task: add it again.
          written = enqueues.begin();
          await this.#enqueue({ ...task, id: added.id });
        }
        lost = true;
        await confirmTask(added.id, added.duplicate ? 'is there' : 'was added', written, [null, added.queue]);
      });
    } catch (error) {
      throw enqueueFailure(this.#store.redis, error, added.id, 'unknown');
    }
    return added;
  }

  async #enqueue(task: PreparedTask): Promise<EnqueuedTask> {
    const { existing, at } =
      task.id === null ? { existing: null, at: placeOf(task, newTaskId()) } : await this.#callersIds.find(task, task.id);
    if (existing) return existing;
    const { onStep } = this.#store;
    if (onStep) await onStep('enqueue:checked', at.id);
    for (;;) {
      const added = (await this.#standing(task, at)) ?? (await this.#place(task, at));
      if (added) return added;
    }
  }

  /** Returns the task that stands for the deduplication key; null if there is none. */
  async #standing(task: PreparedTask, { queue }: JobAddress): Promise<EnqueuedTask | null> {
    const { dedupe } = task;
    const standing = dedupe && (await this.#repeated(() => this.#deduplication.find(task, dedupe, queue)));
    return standing && enqueued(task, { queue, id: standing.id }, standing.item, true);
  }

  /** Adds the task unless it is refused. Returns null if another task has taken its deduplication key meanwhile. */
  async #place(task: PreparedTask, at: JobAddress): Promise<EnqueuedTask | null> {
    try {
      return await this.#addByPolicy(task, at);
    } catch (error) {
      // The item or key may be busy with the task that has just taken the deduplication key.
      const standing = isFleetError(error, 'ITEM_BUSY') ? await this.#standing(task, at) : null;
      if (standing) return standing;
      throw error;
    }
  }

  /** Applies the policy for a busy item; the writer applies that for busy keys. */
  async #addByPolicy(task: PreparedTask, at: JobAddress): Promise<EnqueuedTask | null> {
    if (task.onBusy === null) return this.#add(task, at, false);

    if (task.onBusy === 'stop-previous') return this.#addInPlace(task, at);
    const live = await this.#claims.claim(task, at);
    if (live.length > 0) throw itemBusy(task.item, live);
    return this.#add(task, at, true);
  }

  async #addInPlace(task: PreparedTask, at: JobAddress): Promise<EnqueuedTask | null> {
    const superseded = await this.#claims.join(task, at);
    const added = await this.#add(task, at, true);
    return added && this.#superseding(task, added, superseded);
  }

  /** Stops the tasks that an added task replaces. */
  async #superseding({ carrier }: PreparedTask, added: EnqueuedTask, superseded: readonly string[]): Promise<EnqueuedTask> {
    if (superseded.length > 0) await this.#whenAdded(added.id, () => this.#stop(superseded, added.id, carrier));
    return { ...added, superseded };
  }

  async #stop(ids: readonly string[], by: string, carrier: Carrier | undefined): Promise<void> {
    const written = this.#replicas.stops.begin();
    const answers = await this.#store.stopper.request(ids, { reason: `Superseded by task ${by}`, by: null, carrier });
    await confirmTask(by, `was added and ${ids.join(', ')} stopped`, written, queuesOf(answers));
  }

  /** Returns null if another task stands for the deduplication key, and the task was not added. */
  async #add(task: PreparedTask, at: JobAddress, registered: boolean): Promise<EnqueuedTask | null> {
    const { onStep } = this.#store;
    if (registered && onStep) await onStep('enqueue:registered', at.id);
    const nonce = task.id === null ? null : randomBytes(NONCE_BYTES).toString('base64url');
    const rivals = await this.#write(task, at, { registered, ...(nonce !== null && { nonce }) });
    const added =
      nonce === null
        ? rivals && enqueued(task, at, task.item, false)
        : await this.#whenAdded(at.id, () => this.#callersIds.settle(task, at, nonce, rivals !== null));
    return added === null || added.duplicate || rivals === null ? added : this.#superseding(task, added, rivals);
  }

  /**
   * Returns the tasks to stop in favour of this one; null if another task stands for the deduplication key.
   * @param first the outcome of the first attempt, if it was made
   */
  async #write(task: PreparedTask, at: JobAddress, options: WriteOptions, first?: WrittenTask): Promise<readonly string[] | null> {
    let exists: Existence = false;
    let given = first;
    try {
      // Same id and nonce, so that a task whose reply was lost is not added twice.
      const written = await this.#repeated(async () => {
        const outcome = given ?? (await new Promise<WrittenTask>((resolve) => this.#writer.write(task, at, options, resolve)));
        given = undefined;
        if (!('error' in outcome)) return outcome;
        exists = afterAttempt(exists, outcome.exists);
        throw outcome.error;
      });
      if ('isTaken' in written) return null;
      if ('refused' in written) throw refusal(task, written.refused);
      if (written.stop?.inherited) throw new StopRequested(written.stop.reason, written.stop.by);
      return written.rivals;
    } catch (error) {
      throw enqueueFailure(this.#store.redis, error, at.id, exists);
    }
  }

  async #whenAdded<Value>(id: string, work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      throw enqueueFailure(this.#store.redis, error, id, true);
    }
  }

  #repeated<Value>(work: () => Promise<Value>): Promise<Value> {
    return repeated(work, this.#settings);
  }
}

/** Whether a task was added, and nothing is left to do. */
function isPlain(written: WrittenTask): boolean {
  return 'rivals' in written && written.rivals.length === 0 && !written.stop?.inherited;
}
