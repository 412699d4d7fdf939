import type { Store } from '../../shared/store.js';
import type { Dedupe } from '../../shared/task/dedupe.js';
import { writeState } from '../../shared/task/event-stream.js';
import { type JobAddress, type TaskJobOptions, membershipsOf, readOptions } from '../../shared/task/job-options.js';
import type { PreparedTask } from './prepare.js';
import { storedOptionsOf } from './write/task-options.js';

/** The task that stands for a deduplication key. */
interface StandingTask {
  readonly id: string;
  /** `''` for none, or if the task is no longer stored. */
  readonly item: string;
}

/** A debounced task that has not started. */
interface Waiting extends JobAddress {
  readonly stored: TaskJobOptions;
}

/** Finds the tasks that stand for deduplication keys, and replaces debounced ones. */
export class Deduplication {
  constructor(private readonly store: Pick<Store, 'redis' | 'keys' | 'queues' | 'registry' | 'limiter' | 'unreadable'>) {}

  /**
   * Returns the task that stands for the key; null if there is none, and another task may be added. With `debounce`, gives the standing
   * task this task's input and options. Safe to repeat.
   */
  async find(task: PreparedTask, dedupe: Dedupe, queue: string): Promise<StandingTask | null> {
    const { redis, keys } = this.store;
    const jobs = keys.jobs(queue);
    for (;;) {
      const [id, options] = await redis.findStanding(`${jobs}de:${dedupe.id}`, jobs, dedupe.mode);
      if (id === undefined) return null;
      const stored = readOptions(options === '' ? null : options);
      const item = stored.item ?? '';
      if (dedupe.mode !== 'debounce' || !dedupe.sees(item || null)) return { id, item };
      if (await this.#replace(task, dedupe, { queue, id, stored })) return { id, item: task.item };
      // The task has just started: its key is free.
    }
  }

  /** Returns false if the task no longer waits. */
  async #replace(task: PreparedTask, { id: dedupeId }: Dedupe, { queue, id, stored }: Waiting): Promise<boolean> {
    const { redis, keys, queues, registry, limiter, unreadable } = this.store;
    const replaced = await redis.replaceWaiting(
      `${keys.jobs(queue)}de:${dedupeId}`,
      ...queues.scriptKeys(queue, 'delayed', 'wait', 'prioritized', 'marker', 'events'),
      keys.jobs(queue),
      id,
      task.delay,
      task.priority,
      task.data,
      storedOptionsOf(task, stored.nonce),
    );
    if (replaced === 0) return false;
    // It may have been in line for its limits, and lines up again when it is due.
    if (stored.limits) await limiter.release([id]);
    const { name } = task.definition;
    const before = membershipsOf(stored, name);
    const { parent } = before;
    await registry.changeMemberships({ id, queue }, before, { item: task.item, tags: task.tags, name });
    // The task was the child of another one, which its new input does not belong to.
    if (parent !== undefined) await unreadable.read(keys.children(parent), 'set', redis.srem(keys.children(parent), id), 0);
    await Promise.all(writeState(redis, keys.events(id), 'scheduled'));
    return true;
  }
}
