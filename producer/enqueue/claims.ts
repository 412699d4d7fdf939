import type { Store } from '../../shared/store.js';
import type { JobAddress } from '../../shared/task/job-options.js';
import { isTerminal } from '../../shared/task/state.js';
import type { PreparedTask } from './prepare.js';

/** Maximum claims, each after removing entries that a crash left behind. */
const MAX_ATTEMPTS = 3;

/** Registers tasks with an `onBusy` policy. */
export class ItemClaims {
  readonly #store: Store;
  readonly #enqueueGraceMs: number;

  constructor(store: Store, enqueueGraceMs: number) {
    this.#store = store;
    this.#enqueueGraceMs = enqueueGraceMs;
  }

  /** Registers the task and returns the item's other live tasks. */
  join(task: PreparedTask, at: JobAddress): Promise<string[]> {
    return this.#claim(task, at, 'join');
  }

  /** Registers the task if its item has no live tasks; otherwise returns their ids. */
  async claim(task: PreparedTask, at: JobAddress): Promise<string[]> {
    for (let attempt = 1; ; attempt += 1) {
      const listed = await this.#claim(task, at, 'reject');
      if (listed.length === 0) return [];
      const live = await this.#live(listed);
      if (live.length > 0 || attempt === MAX_ATTEMPTS) return live.length > 0 ? live : listed;
      // Stale entries of a crash must not keep the item busy until the reconciler runs.
      await this.#store.registry.leaveItem(task.item, listed);
    }
  }

  #claim({ item }: PreparedTask, { queue, id }: JobAddress, mode: 'join' | 'reject'): Promise<string[]> {
    return this.#store.registry.claimItem({ id, item, queue, at: this.#store.clock.now() }, mode);
  }

  /** Filters live tasks: those that have not ended, or are just being enqueued. */
  async #live(ids: readonly string[]): Promise<string[]> {
    const { reader, redis, keys, clock } = this.#store;
    const [tasks, registeredAt] = await Promise.all([reader.read(ids), redis.zmscore(keys.live, ...ids)]);
    return ids.filter((id, index) => {
      const task = tasks.get(id);
      return task ? !isTerminal(task.state) : clock.now() - Number(registeredAt[index] ?? 0) < this.#enqueueGraceMs;
    });
  }
}
