import { isShared } from '../../../shared/reserved-ids.js';
import type { Store } from '../../../shared/store.js';
import { readTasks } from '../../../shared/task/read-tasks.js';
import { isTerminal } from '../../../shared/task/state.js';

/** Ids per page. */
const PAGE = 500;
/** Most ids examined in each part of the registry. */
const MAX_IDS = 10_000;
/** Most job lookups in a run, each stray on each queue: other programs may register any number of tasks. */
const MAX_LOOKUPS = 100_000;

/** Redis cursors at which the next run continues, for each part of the registry. */
export interface StrayCursors {
  live: string;
  tasks: string;
}

interface Walk {
  readonly part: keyof StrayCursors;
  readonly scan: (cursor: string) => Promise<[next: string, flat: string[]]>;
  /** Removes strays. Returns how many were removed. */
  readonly drop: (ids: readonly string[]) => Promise<number>;
}

/**
 * Removes entries of finished tasks that remain in only one part of the registry. Causes: a task listed again during its removal, a
 * registration partly resent after a lost connection, a removal partly undone by a failover.
 *
 * A registration writes the task's queue first, and a removal deletes it last: a task without a queue is finished, or another program's.
 * Tasks in the list of live tasks are always ours.
 */
export class Strays {
  /** @param queues the queues with jobs */
  constructor(
    private readonly store: Store,
    private readonly queues: readonly string[],
  ) {}

  /**
   * Continues at the cursors, and moves them. Returns how many entries were removed.
   * @throws the signal's reason
   */
  async drop(cursors: StrayCursors, signal: AbortSignal | undefined): Promise<number> {
    const { redis, keys, unreadable } = this.store;
    const [live, tasks, queues] = await Promise.all([
      unreadable.read(keys.live, 'sorted set', redis.zcard(keys.live), 0),
      unreadable.read(keys.tasks, 'hash', redis.hlen(keys.tasks), 0),
      unreadable.read(keys.taskQueues, 'hash', redis.hlen(keys.taskQueues), Infinity),
    ]);
    const walks: Walk[] = [
      { part: 'live', scan: (cursor) => redis.zscan(keys.live, cursor, 'COUNT', PAGE), drop: (ids) => this.#dropLive(ids) },
      { part: 'tasks', scan: (cursor) => redis.hscan(keys.tasks, cursor, 'COUNT', PAGE), drop: (ids) => this.#dropUnqueued(ids) },
    ];
    const sizes = { live, tasks };
    let dropped = 0;
    for (const walk of walks) {
      if (sizes[walk.part] > queues) dropped += await this.#walk(walk, cursors, signal);
      else cursors[walk.part] = '0';
    }
    return dropped;
  }

  /** Drops tasks without a queue, page by page. */
  async #walk({ part, scan, drop }: Walk, cursors: StrayCursors, signal: AbortSignal | undefined): Promise<number> {
    const { redis, keys } = this.store;
    let [dropped, seen, sought] = [0, 0, 0];
    do {
      signal?.throwIfAborted();
      const [next, flat] = await scan(cursors[part]);
      const ids = flat.filter((_, index) => index % 2 === 0);
      const queues = ids.length === 0 ? [] : await redis.hmget(keys.taskQueues, ...ids);
      const strays = ids.filter((_, index) => queues[index] === null);
      if (strays.length > 0) dropped += await drop(strays);
      seen += ids.length;
      sought += strays.length * this.queues.length;
      cursors[part] = next;
    } while (cursors[part] !== '0' && seen < MAX_IDS && sought < MAX_LOOKUPS);
    return dropped;
  }

  async #dropLive(ids: readonly string[]): Promise<number> {
    const { redis, keys } = this.store;
    const leased = ids.filter(isShared);
    await Promise.all([this.#dropEnded(ids), ...(leased.length > 0 ? [redis.del(...leased.map((id) => keys.lease(id)))] : [])]);
    return redis.zrem(keys.live, ...ids);
  }

  async #dropUnqueued(ids: readonly string[]): Promise<number> {
    const dropped = await this.#dropEnded(ids);
    if (dropped < ids.length) this.store.facts.sawForeign();
    return dropped;
  }

  /** Removes tasks that have finished on one of our queues; tasks on no queue may be another program's. */
  async #dropEnded(ids: readonly string[]): Promise<number> {
    const { redis, keys, registry } = this.store;
    const found = (await Promise.all(this.queues.map((queue) => readTasks(this.store, queue, ids)))).flat();
    const ended = found.filter((task) => task !== null && isTerminal(task.state));
    if (ended.length === 0) return 0;
    await Promise.all(ended.flatMap((task) => (task?.item ? [registry.leaveItem(task.item, [task.id])] : [])));
    return redis.hdel(keys.tasks, ...ended.map((task) => task?.id ?? ''));
  }
}
