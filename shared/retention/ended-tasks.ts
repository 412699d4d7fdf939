import { messageOf } from '../errors.js';
import { groupBy } from '../groups.js';
import type { Keys } from '../keys.js';
import { chunks } from '../limits.js';
import { type Logger, RepeatedLines } from '../log/logger.js';
import { type RecordReporter, wrongType } from '../records/unreadable.js';
import { isConnectionError } from '../redis/connection-errors.js';
import { textMembers } from '../registry/find-index.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { Queues } from '../task/queues.js';
import type { EndedIndex } from './indexes.js';
import type { JobRetention } from './limits.js';

/** A task that has ended, and how long it is to be kept. */
export interface EndedTask {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** `''` for none. */
  readonly item: string;
  readonly tags?: readonly string[] | undefined;
  /** BullMQ's set of ended jobs that has it. */
  readonly place: 'completed' | 'failed';
  readonly retention: JobRetention;
}

interface EndedTasksOptions {
  readonly redis: ScriptedRedis;
  readonly queues: Queues;
  readonly keys: Keys;
  readonly unreadable: RecordReporter;
  readonly logger: Logger;
}

/** Tasks per script, because a script blocks Redis. */
const KEPT_AT_ONCE = 150;
/** Most tasks that a script removes from one index: more than it adds, so that a lowered limit takes effect step by step. */
export const REMOVED_AT_ONCE = 200;

/**
 * Applies the retention of ended tasks. BullMQ would apply one job's limits to the whole queue, so our jobs are settled without limits,
 * and kept in an index for each queue, kind and name. An index is written after its tasks have ended: the reconciler adds the tasks of a
 * process that died in between.
 */
export class EndedTasks {
  readonly #lines: RepeatedLines;

  constructor(private readonly options: EndedTasksOptions) {
    this.#lines = new RepeatedLines(options.logger);
  }

  /** Indexes tasks that have just ended, and removes those that exceed their retention. Never rejects. */
  async keep(tasks: readonly EndedTask[]): Promise<void> {
    await this.index(tasks).catch((error: unknown) =>
      this.#lines.warn(messageOf(error), { error }, 'Could not apply the retention of ended tasks; the reconciler will'),
    );
  }

  /** As {@link keep}. Rejects if Redis is unavailable. */
  async index(tasks: readonly EndedTask[]): Promise<void> {
    const { redis, queues, keys, unreadable } = this.options;
    const scripts = [...groupBy(tasks, ({ queue }) => queue)].flatMap(([queue, ended]) =>
      chunks(ended, KEPT_AT_ONCE).map(async (some) => {
        const [attached, wrong] = await redis.keepEnded(
          ...queues.scriptKeys(queue, 'completed', 'failed'),
          keys.keptLimits(queue),
          keys.keptTexts(queue),
          keys.jobs(queue),
          REMOVED_AT_ONCE,
          ...textsOf(some),
          ...wordsOf(some),
        );
        for (const key of new Set(wrong))
          unreadable.report({ key, problem: wrongType(key === keys.keptLimits(queue) ? 'hash' : 'sorted set') });
        await this.#detach(queue, attached);
      }),
    );
    await Promise.all(scripts);
  }

  /** Removes the tasks of an index that exceed its limits. Returns how many entries it has lost. */
  async expire(queue: string, { kind, field, key, limits }: EndedIndex): Promise<number> {
    const { redis, keys } = this.options;
    const jobs = keys.jobs(queue);
    const [removed, attached] = await redis.expireKept(
      key,
      jobs + (kind === 'completed' ? kind : 'failed'),
      keys.keptLimits(queue),
      jobs,
      field,
      limits,
      REMOVED_AT_ONCE,
    );
    await this.#detach(queue, attached);
    return removed;
  }

  /**
   * Detaches failed jobs from the parents in their flows, as BullMQ does before it removes a job: a parent without other children starts.
   * The jobs are removed when their retention is applied next.
   */
  async #detach(queue: string, attached: readonly string[]): Promise<void> {
    const backend = this.options.queues.backend(queue);
    for (const [id, parent] of chunks(attached, 2) as [id: string, parent: string][])
      await backend.removeChildDependency(id, parent).catch((error: unknown) => {
        if (isConnectionError(error)) throw error;
        this.#lines.warn(
          parent,
          { id, queue, parent, error: messageOf(error) },
          'Could not detach an expired task from its parent; keeping it',
        );
      });
  }
}

/** The members of the index of texts, after their number. */
function textsOf(tasks: readonly EndedTask[]): (string | number)[] {
  const members = tasks.flatMap((task) => textMembers(task, task.id));
  return [members.length, ...members];
}

/** The groups of `keepEnded`. */
function wordsOf(tasks: readonly EndedTask[]): (string | number)[] {
  const groups = groupBy(tasks, ({ name, place, retention }) => `${place} ${retention[place]} ${retention.cancelled} ${name}`);
  return [...groups.values()].flatMap((group) => {
    const { place, name, retention } = group[0] as EndedTask;
    return [place, name, retention[place], retention.cancelled, group.length, ...group.map(({ id }) => id)];
  });
}
