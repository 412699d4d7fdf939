import { uuidv7 } from 'uuidv7';
import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import type { Logger } from '../../shared/logger.js';
import type { Replicas } from '../../shared/redis/replicas.js';
import { isWrongType } from '../../shared/redis/reply-errors.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { StopRequested } from '../../shared/stop/cause.js';
import { queuesOf } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import type { ChildTask } from '../../shared/task/handler.js';
import { type JobAddress, readOptions } from '../../shared/task/job-options.js';
import { baseQueue, shardOf } from '../../shared/task/shards.js';
import type { TaskView } from '../../shared/task/view.js';
import { repeated } from '../calls.js';
import { ItemClaims, Registration } from './claims.js';
import { type Existence, afterAttempt, confirmTask, enqueueFailure } from './failure.js';
import { JobWriter, type StopMet, type WriteOptions } from './job-writer.js';
import type { PreparedTask } from './prepare.js';

export interface EnqueuedTask<Output = unknown> extends ChildTask {
  /** Ids of the item's live tasks that this task replaced, and which were stopped (`onBusy: 'stop-previous'`). */
  readonly superseded: readonly string[];
  /** Carries the result's type; never set at runtime. */
  readonly output?: Output;
}

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

const NONE: readonly string[] = Object.freeze([]);

/** Adds tasks, idempotently if the caller gives an id. */
export class Enqueuer {
  readonly #store: Store;
  readonly #registration: Registration;
  readonly #writer: JobWriter;
  readonly #claims: ItemClaims;
  readonly #settings: ConnectedSettings;
  readonly #replicas: EnqueueReplicas;

  constructor({ store, settings, replicas, logger }: EnqueuerOptions) {
    this.#store = store;
    this.#settings = settings;
    this.#replicas = replicas;
    this.#registration = new Registration(store, logger);
    this.#writer = new JobWriter(store, this.#registration);
    this.#claims = new ItemClaims(store, settings.enqueueGraceMs);
  }

  /**
   * @throws FleetError `ITEM_BUSY`, `NOT_REPLICATED`; `REDIS_UNAVAILABLE`, `REDIS_OUT_OF_MEMORY`, `REDIS_WRONG_TYPE` or `REDIS_ERROR`,
   *   whose `details.exists` says whether the task exists; StopRequested for a child whose parent was stopped, which stops the child too
   */
  async enqueue(task: PreparedTask): Promise<EnqueuedTask> {
    try {
      return await this.#enqueueReplicated(task);
    } catch (error) {
      // Nothing was sent yet, but a caller's id may belong to a task that was added earlier.
      throw enqueueFailure(this.#store.redis, error, task.id, task.id === null ? false : 'unknown');
    }
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
    const { existing, at } = task.id === null ? { existing: null, at: placeOf(task, uuidv7()) } : await this.#look(task, task.id);
    if (existing) return existing;
    const { onStep } = this.#store;
    if (onStep) await onStep('enqueue:checked', at.id);
    if (task.onBusy === null) return this.#add(task, at, false);

    if (task.onBusy === 'stop-previous') return this.#addInPlace(task, at);
    const live = await this.#claims.claim(task, at);
    if (live.length > 0) throw busy(task.item, live);
    return this.#add(task, at, true);
  }

  async #addInPlace(task: PreparedTask, at: JobAddress): Promise<EnqueuedTask> {
    const superseded = await this.#claims.join(task, at);
    const added = await this.#add(task, at, true);
    if (superseded.length > 0) await this.#whenAdded(at.id, () => this.#supersede(superseded, at.id));
    return { ...added, superseded };
  }

  async #supersede(ids: readonly string[], by: string): Promise<void> {
    const written = this.#replicas.stops.begin();
    const answers = await this.#store.stopper.request(ids, { reason: `Superseded by task ${by}`, by: null });
    await confirmTask(by, `was added and ${ids.join(', ')} stopped`, written, queuesOf(answers));
  }

  /**
   * Finds the task with the caller's id, or the queue to add it to. A concurrent enqueue may have registered it on another shard (if
   * its number of shards differs): using that shard makes both write the same job.
   */
  async #look(task: PreparedTask, id: string): Promise<{ existing: EnqueuedTask | null; at: JobAddress }> {
    const { reader } = this.#store;
    const located = await this.#readable(() => reader.locate([id]), { byQueue: new Map(), foreign: new Map(), unreadable: new Map() });
    const found = (await this.#readable(() => reader.readLocated(located), new Map<string, TaskView>())).get(id);
    const existing = found
      ? { id, name: found.name ?? '', queue: found.queue ?? '', item: found.item, duplicate: true, superseded: NONE }
      : null;
    const [registered] = located.byQueue.keys();
    const follows = registered !== undefined && baseQueue(registered) === task.definition.queue;
    return { existing, at: follows ? { queue: registered, id } : placeOf(task, id) };
  }

  /** Reads, or returns `none` if a key has the wrong type. Adding the job then detects an existing task by its id. */
  async #readable<Value>(read: () => Promise<Value>, none: Value): Promise<Value> {
    try {
      return await this.#repeated(read);
    } catch (error) {
      if (!isWrongType(error)) throw error;
      this.#registration.report(error);
      return none;
    }
  }

  async #add(task: PreparedTask, at: JobAddress, registered: boolean): Promise<EnqueuedTask> {
    const { onStep } = this.#store;
    if (registered && onStep) await onStep('enqueue:registered', at.id);
    if (task.id !== null) return this.#addOnce(task, at, registered);
    await this.#write(task, at, { registered });
    return enqueued(task, at, task.item, false);
  }

  async #write(task: PreparedTask, at: JobAddress, options: WriteOptions): Promise<void> {
    const stop = await this.#written(task, at, options);
    if (stop?.inherited) throw new StopRequested(stop.reason, stop.by);
  }

  async #written(task: PreparedTask, at: JobAddress, options: WriteOptions): Promise<StopMet | null> {
    let exists: Existence = false;
    try {
      // Same id and nonce, so that a task whose reply was lost is not added twice.
      return await this.#repeated(async () => {
        const written = await this.#writer.write(task, at, options);
        if (!('error' in written)) return written.stop;
        exists = afterAttempt(exists, written.exists);
        throw written.error;
      });
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

  /** Adds a task under a caller's id, which another producer may be adding concurrently. */
  async #addOnce(task: PreparedTask, at: JobAddress, registered: boolean): Promise<EnqueuedTask> {
    const nonce = uuidv7();
    await this.#write(task, at, { nonce, registered });
    return this.#whenAdded(at.id, () => this.#settleOnce(task, at, nonce));
  }

  /** Finds out which enqueue created the task, and corrects the registry entry accordingly. */
  async #settleOnce(task: PreparedTask, at: JobAddress, nonce: string): Promise<EnqueuedTask> {
    const { redis, keys } = this.#store;
    const { queue, id } = at;
    for (let listed = task.item; ;) {
      const [options = null, finishedOn = null] = await this.#repeated(() => redis.hmget(keys.jobs(queue) + id, 'opts', 'finishedOn'));
      const stored = readOptions(options);
      const ended = options === null || finishedOn !== null;
      const duplicate = options !== null && stored.nonce !== nonce;
      const item = duplicate ? (stored.item ?? '') : task.item;
      if (ended || item !== listed) await this.#correct(task, at, listed, ended ? null : item);
      else if (duplicate && task.parent && task.parent.id !== stored.childOf?.id)
        await this.#registration.settle([redis.srem(keys.children(task.parent.id), id)]);
      if (ended || item === listed) {
        if (!duplicate) this.#store.taskCounters.enqueued(task.definition);
        return enqueued(task, at, item, duplicate);
      }
      // The task may have ended, and left the registry, before the correction: look again.
      listed = item;
    }
  }

  /** Replaces our registry entry: another enqueue created the task (`actual` is its item), or it has ended (null). */
  async #correct({ parent }: PreparedTask, { queue, id }: JobAddress, listed: string, actual: string | null): Promise<void> {
    const { redis, registry } = this.#store;
    const undo = registry.writes();
    undo.remove(id, { item: listed, parent: parent?.id });
    const redo = registry.writes();
    if (actual !== null) redo.add({ id, item: actual, queue, at: this.#store.clock.now() });
    await this.#registration.settle([...undo.flushInto(redis), ...redo.flushInto(redis)]);
  }

  #repeated<Value>(work: () => Promise<Value>): Promise<Value> {
    return repeated(work, this.#settings);
  }
}

function placeOf({ definition }: PreparedTask, id: string): JobAddress {
  return { queue: shardOf(definition, id), id };
}

function enqueued({ definition }: PreparedTask, { queue, id }: JobAddress, item: string, duplicate: boolean): EnqueuedTask {
  return { id, name: definition.name, queue, item: item || null, duplicate, superseded: NONE };
}

function busy(item: string, ids: readonly string[]): FleetError {
  const shown = ids.slice(0, 5).join(', ') + (ids.length > 5 ? ` and ${ids.length - 5} more` : '');
  return new FleetError('ITEM_BUSY', `Item ${quote(item)} has live tasks: ${shown}. Nothing was added.`, { details: { item, ids } });
}
