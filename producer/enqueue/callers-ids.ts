import { isWrongType } from '../../shared/redis/reply-errors.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import type { Registrar } from '../../shared/registry/registrar.js';
import type { Store } from '../../shared/store.js';
import { type JobAddress, readOptions } from '../../shared/task/job-options.js';
import { baseQueue } from '../../shared/task/shards.js';
import type { TaskView } from '../../shared/task/view.js';
import { repeated } from '../calls.js';
import { type EnqueuedTask, NONE, enqueued, placeOf } from './enqueued-task.js';
import type { PreparedTask } from './prepare.js';

/** Makes enqueues under a caller's id idempotent: another producer may add the same id at the same time. */
export class CallersIds {
  constructor(
    private readonly store: Store,
    private readonly registrar: Registrar,
    private readonly settings: ConnectedSettings,
  ) {}

  /**
   * Finds the task with the caller's id, or the queue to add it to. A concurrent enqueue may have registered it on another shard (if
   * its number of shards differs): using that shard makes both write the same job.
   */
  async find(task: PreparedTask, id: string): Promise<{ existing: EnqueuedTask | null; at: JobAddress }> {
    const { reader } = this.store;
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
      this.registrar.report(error);
      return none;
    }
  }

  /**
   * Finds out which enqueue created the task under a caller's id, which another producer may add concurrently, and corrects the registry
   * entry accordingly. Returns null if none did, because another task stands for the deduplication key.
   */
  async settle(task: PreparedTask, at: JobAddress, nonce: string, isAdded: boolean): Promise<EnqueuedTask | null> {
    const { redis, keys } = this.store;
    const { queue, id } = at;
    for (let listed = task.item; ;) {
      const [options = null, finishedOn = null] = await this.#repeated(() => redis.hmget(keys.jobs(queue) + id, 'opts', 'finishedOn'));
      const stored = readOptions(options);
      const ended = options === null || finishedOn !== null;
      const duplicate = options !== null && stored.nonce !== nonce;
      const item = duplicate ? (stored.item ?? '') : task.item;
      // The task that stands keeps the record that its own enqueue or worker made.
      if ((duplicate || ended) && task.steps !== null) await this.#repeated(() => this.store.limiter.release([id], nonce));
      if (ended || item !== listed) await this.#correct(task, at, listed, ended ? null : item);
      else if (duplicate && task.parent && task.parent.id !== stored.childOf?.id)
        await this.registrar.settle([redis.srem(keys.children(task.parent.id), id)]);
      if (ended || item === listed) {
        if (!duplicate && !isAdded) return null;
        if (!duplicate) this.store.taskCounters.enqueued(task.definition);
        return enqueued(task, at, item, duplicate);
      }
      // The task may have ended, and left the registry, before the correction: look again.
      listed = item;
    }
  }

  /** Replaces our registry entry: another enqueue created the task (`actual` is its item), or it has ended (null). */
  async #correct({ parent }: PreparedTask, { queue, id }: JobAddress, listed: string, actual: string | null): Promise<void> {
    const { redis, registry } = this.store;
    const undo = registry.writes();
    undo.remove(id, { item: listed, parent: parent?.id });
    const redo = registry.writes();
    if (actual !== null) redo.add({ id, item: actual, queue, at: this.store.clock.now() });
    await this.registrar.settle([...undo.flushInto(redis), ...redo.flushInto(redis)]);
  }

  #repeated<Value>(work: () => Promise<Value>): Promise<Value> {
    return repeated(work, this.settings);
  }
}
