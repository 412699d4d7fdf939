import { isShared } from '../../shared/keys.js';
import type { Store } from '../../shared/store.js';
import { isTerminal } from '../../shared/task/state.js';
import { readTasks } from '../../shared/task/view.js';

/** Ids of one page. */
const PAGE = 500;
/** What a run looks at, at most. */
const MOST = 10_000;

/**
 * Removes what is left of tasks that are over in one part of the registry alone. That happens if a task is listed again
 * in the middle of its removal; if a lost connection has a part of its registration sent once more; and if a failover
 * undoes a part of its removal.
 *
 * A registration writes the queue of a task first, and a removal deletes it last: a task without a queue is over, or
 * another program's. What is listed as live is ours.
 */
export class Strays {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Returns how many were removed. @throws the signal's reason */
  async drop(signal: AbortSignal | undefined): Promise<number> {
    const { redis, keys } = this.#store;
    const [live, tasks, queues] = await Promise.all([redis.zcard(keys.live), redis.hlen(keys.tasks), redis.hlen(keys.taskQueues)]);
    let dropped = 0;
    if (live > queues) dropped += await this.#walk((cursor) => redis.zscan(keys.live, cursor, 'COUNT', PAGE), (ids) => this.#dropLive(ids), signal);
    if (tasks > queues) dropped += await this.#walk((cursor) => redis.hscan(keys.tasks, cursor, 'COUNT', PAGE), (ids) => this.#dropUnqueued(ids), signal);
    return dropped;
  }

  /** Hands over those without a queue, page by page. */
  async #walk(scan: (cursor: string) => Promise<[next: string, flat: string[]]>, drop: (ids: string[]) => Promise<number>, signal: AbortSignal | undefined): Promise<number> {
    const { redis, keys } = this.#store;
    let [dropped, seen, cursor] = [0, 0, '0'];
    do {
      signal?.throwIfAborted();
      const [next, flat] = await scan(cursor);
      const ids = flat.filter((_, index) => index % 2 === 0);
      const queues = ids.length === 0 ? [] : await redis.hmget(keys.taskQueues, ...ids);
      const strays = ids.filter((_, index) => queues[index] === null);
      if (strays.length > 0) dropped += await drop(strays);
      seen += ids.length;
      cursor = next;
    } while (cursor !== '0' && seen < MOST);
    return dropped;
  }

  async #dropLive(ids: readonly string[]): Promise<number> {
    const { redis, keys } = this.#store;
    const leased = ids.filter(isShared);
    await Promise.all([this.#dropEnded(ids), ...(leased.length > 0 ? [redis.del(...leased.map((id) => keys.lease(id)))] : [])]);
    return redis.zrem(keys.live, ...ids);
  }

  async #dropUnqueued(ids: readonly string[]): Promise<number> {
    const dropped = await this.#dropEnded(ids);
    if (dropped < ids.length) this.#store.facts.sawForeign();
    return dropped;
  }

  /** Of these, what has ended on a queue of ours: what no queue knows may be another program's. */
  async #dropEnded(ids: readonly string[]): Promise<number> {
    const { redis, keys, registry } = this.#store;
    const found = (await Promise.all((await registry.queueNames()).map((queue) => readTasks(this.#store, queue, ids)))).flat();
    const ended = found.filter((task) => task !== null && isTerminal(task.state));
    if (ended.length === 0) return 0;
    await Promise.all(ended.flatMap((task) => (task?.item ? [registry.leaveItem(task.item, [task.id])] : [])));
    return redis.hdel(keys.tasks, ...ended.map((task) => task?.id ?? ''));
  }
}
