import { uuidv7 } from 'uuidv7';
import { FleetError } from '../shared/errors.js';
import { quote } from '../shared/keys.js';
import { MergedWrites } from '../shared/registry/merged-writes.js';
import type { StepHook } from '../shared/step-hook.js';
import { StopRequested } from '../shared/stop/cause.js';
import type { Store } from '../shared/store.js';
import type { ChildTask } from '../shared/task/handler.js';
import { parseOptions } from '../shared/task/view.js';
import { ItemClaims } from './item-claims.js';
import { JobWriter, type StopMet, type WriteOptions } from './job-writer.js';
import type { PreparedTask } from './prepare.js';

export interface EnqueuedTask<Output = unknown> extends ChildTask {
  /** The ids of the item's live tasks that were stopped in favour of this one (`onBusy: 'stop-previous'`). */
  readonly superseded: readonly string[];
  /** Carries the type of the result; never set. */
  readonly output?: Output;
}

const NONE: readonly string[] = Object.freeze([]);

/** Adds tasks. */
export class Enqueuer {
  readonly #store: Store;
  readonly #writer: JobWriter;
  readonly #claims: ItemClaims;
  readonly #onStep: StepHook | undefined;

  constructor(store: Store, enqueueGraceMs: number, onStep?: StepHook) {
    this.#store = store;
    this.#onStep = onStep;
    this.#writer = new JobWriter(store);
    this.#claims = new ItemClaims(store, enqueueGraceMs);
  }

  /**
   * @throws FleetError `ITEM_BUSY`, `REDIS_UNAVAILABLE`. If the connection broke in the middle, the task may have been
   *   added. StopRequested for a child whose parent was stopped: the child is stopped too.
   */
  async enqueue(task: PreparedTask): Promise<EnqueuedTask> {
    const existing = task.id === null ? null : await this.#existing(task.id);
    if (existing) return existing;
    const id = task.id ?? uuidv7();
    if (this.#onStep) await this.#onStep('enqueue:checked', id);
    if (task.onBusy === null) return this.#add(task, id, false);

    if (task.onBusy === 'stop-previous') return this.#addInPlace(task, id);
    const live = await this.#claims.claim(task, id);
    if (live.length > 0) throw busy(task.item, live);
    return this.#add(task, id, true);
  }

  async #addInPlace(task: PreparedTask, id: string): Promise<EnqueuedTask> {
    const superseded = await this.#claims.join(task, id);
    const added = await this.#add(task, id, true);
    if (superseded.length > 0) await this.#store.stopper.request(superseded, { reason: `Superseded by task ${id}`, by: null });
    return { ...added, superseded };
  }

  async #existing(id: string): Promise<EnqueuedTask | null> {
    const task = (await this.#store.reader.read([id])).get(id);
    return task ? { id, name: task.name ?? '', queue: task.queue ?? '', item: task.item, duplicate: true, superseded: NONE } : null;
  }

  async #add(task: PreparedTask, id: string, registered: boolean): Promise<EnqueuedTask> {
    if (registered && this.#onStep) await this.#onStep('enqueue:registered', id);
    if (task.id !== null) return this.#addOnce(task, id, registered);
    await this.#write(task, id, { registered });
    return enqueued(task, id, task.item, false);
  }

  async #write(task: PreparedTask, id: string, options: WriteOptions): Promise<void> {
    const stop: StopMet | null = await this.#writer.write(task, id, options);
    if (stop?.inherited) throw new StopRequested(stop.reason, stop.by);
  }

  /** Adds a task under an id of the caller's, which another producer may be adding at this very moment. */
  async #addOnce(task: PreparedTask, id: string, registered: boolean): Promise<EnqueuedTask> {
    const { redis, keys } = this.#store;
    const nonce = uuidv7();
    const { queue } = task.definition;
    await this.#write(task, id, { nonce, registered });
    for (let listed = task.item; ; ) {
      const [options = null, finishedOn = null] = await redis.hmget(keys.jobs(queue) + id, 'opts', 'finishedOn');
      const stored = parseOptions(options);
      const ended = options === null || finishedOn !== null;
      const duplicate = options !== null && stored.nonce !== nonce;
      const item = duplicate ? (stored.item ?? '') : task.item;
      if (ended || item !== listed) await this.#correct(task, id, listed, ended ? null : item);
      else if (duplicate && task.parent && task.parent.id !== stored.childOf?.id) await redis.srem(keys.children(task.parent.id), id);
      if (ended || item === listed) {
        if (!duplicate) this.#store.tally.enqueued(task.definition);
        return enqueued(task, id, item, duplicate);
      }
      // It may have ended before the correction, and been removed from the registry by the worker: so look again.
      listed = item;
    }
  }

  /** What we registered is not so: another enqueue made the task (then `actual` is its item), or it is over (null). */
  async #correct({ definition, parent }: PreparedTask, id: string, listed: string, actual: string | null): Promise<void> {
    const { redis, keys } = this.#store;
    const undo = new MergedWrites(keys);
    undo.remove(id, { item: listed, parent: parent?.id });
    const redo = new MergedWrites(keys);
    if (actual !== null) redo.add({ id, item: actual, queue: definition.queue, at: Date.now() });
    await Promise.all([...undo.flushInto(redis), ...redo.flushInto(redis)]);
  }
}

function enqueued({ definition }: PreparedTask, id: string, item: string, duplicate: boolean): EnqueuedTask {
  return { id, name: definition.name, queue: definition.queue, item: item || null, duplicate, superseded: NONE };
}

function busy(item: string, ids: readonly string[]): FleetError {
  const some = ids.slice(0, 5).join(', ') + (ids.length > 5 ? ` and ${ids.length - 5} more` : '');
  return new FleetError('ITEM_BUSY', `Item ${quote(item)} has live tasks: ${some}. Nothing was added.`, { details: { item, ids } });
}
