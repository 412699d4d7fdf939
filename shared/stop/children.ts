import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { JobAddress } from '../task/options-record.js';
import type { Unreadable } from '../records/unreadable.js';
import type { FoundTask } from './recorder.js';

export interface ChildrenOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly unreadable: Unreadable;
}

/** Finds the tasks that a stop includes: those enqueued by the task's handler, and its children in a BullMQ flow. */
export class Children {
  readonly #options: ChildrenOptions;

  constructor(options: ChildrenOptions) {
    this.#options = options;
  }

  /** Returns the live tasks that the parents' handlers have enqueued. */
  async enqueuedBy(parents: readonly string[]): Promise<string[]> {
    const { redis, keys, unreadable } = this.#options;
    const children = parents.map((id) => unreadable.read(keys.children(id), 'set', redis.smembers(keys.children(id)), []));
    return [...new Set((await Promise.all(children)).flat())];
  }

  /**
   * Returns the children of jobs in flows, by parent id. Call it before the parents are settled: a job without retention takes its
   * lists with it. Failed children may have live children; those of completed children have all ended.
   */
  async inFlows(found: readonly FoundTask[]): Promise<Map<string, JobAddress[]>> {
    const parents = found.filter(({ recorded: [, , children] }) => children === 'flow');
    return new Map(await Promise.all(parents.map(async (parent) => [parent.id, await this.#inFlow(parent)] as const)));
  }

  async #inFlow({ queue, id }: JobAddress): Promise<JobAddress[]> {
    const { redis, keys, unreadable } = this.#options;
    const [pending, unsuccessful, failed] = ['dependencies', 'unsuccessful', 'failed'].map(
      (name) => `${keys.jobs(queue)}${id}:${name}`,
    ) as [string, string, string];
    const children = await Promise.all([
      unreadable.read(pending, 'set', redis.smembers(pending), []),
      unreadable.read(unsuccessful, 'sorted set', redis.zrange(unsuccessful, '0', '-1'), []),
      unreadable.read(failed, 'hash', redis.hkeys(failed), []),
    ]);
    // A flow may include queues under another prefix, which belong to another fleet.
    return children.flat().flatMap((key) => keys.jobAt(key) ?? []);
  }
}
