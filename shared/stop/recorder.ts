import { uuidv7 } from 'uuidv7';
import type { Keys } from '../keys.js';
import { chunks } from '../limits.js';
import type { Logger } from '../logger.js';
import type { TaskCounters } from '../metrics/task-counters.js';
import type { Unreadable } from '../records/unreadable.js';
import type { Registry } from '../registry/registry.js';
import type { Schedulers } from '../schedule/schedulers.js';
import type { RecordedStop, ScriptedRedis } from '../scripts/define-scripts.js';
import type { JobAddress } from '../task/job-options.js';
import type { Queues } from '../task/queues.js';
import type { PendingStops } from './pending-stops.js';
import { type StopAnswer, answerOf } from './receipt.js';
import { type HeldJob, Settler } from './settler.js';

export interface RecorderOptions {
  readonly redis: ScriptedRedis;
  readonly queues: Queues;
  readonly registry: Registry;
  readonly pendingStops: PendingStops;
  readonly schedulers: Schedulers;
  readonly taskCounters: TaskCounters;
  readonly unreadable: Unreadable;
  readonly keys: Keys;
  /** How long the caller of a stop holds the jobs that it must settle, in ms. */
  readonly lockMs: number;
  readonly logger: Logger;
}

/** The record to write, and the lock for jobs that no worker runs. */
interface Recording {
  /** As JSON; `''` to take only tasks whose stop was recorded before. */
  readonly stop: string;
  /** Text of the deferred failure. */
  readonly text: string;
  readonly token: string;
  /** Ids of dead workers. */
  readonly dead: readonly string[];
}

/** A result of the script. */
export interface FoundTask {
  readonly id: string;
  readonly queue: string;
  readonly recorded: RecordedStop;
}

/** Tasks per script, because a script blocks Redis. */
const RECORD_AT_ONCE = 1_000;

/** Records stops with their tasks, and settles those that no worker runs. */
export class StopRecorder {
  readonly #options: RecorderOptions;
  readonly #settler: Settler;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#settler = new Settler(options);
  }

  /** Returns the tasks in the order of the ids. */
  async record(queue: string, ids: readonly string[], { stop, text, token, dead }: Recording): Promise<FoundTask[]> {
    const { redis, queues, keys, lockMs, unreadable } = this.#options;
    const recorded = await redis.recordStop(
      ...queues.stopKeys(queue),
      keys.jobs(queue),
      stop,
      text,
      token,
      lockMs,
      JSON.stringify(dead),
      ...ids,
    );
    return ids.map((id, index) => {
      const [what, problem] = recorded[index] as RecordedStop;
      if (what !== 'unreadable') return { id, queue, recorded: recorded[index] as RecordedStop };
      unreadable.report({ key: keys.jobs(queue) + id, problem });
      return { id, queue, recorded: ['missing', ''] };
    });
  }

  /** Leaves stops for missing jobs that may be about to be added: see {@link PendingStops}. */
  async recordEarly(found: FoundTask[], recording: Recording): Promise<FoundTask[]> {
    const missing = found.filter(({ recorded: [what] }) => what === 'missing');
    if (missing.length === 0) return found;
    const entries = await this.#options.registry.find(missing.map(({ id }) => id));
    const coming = missing.filter((_, index) => entries[index]?.queue);
    const ids = coming.map(({ id }) => id);
    if (ids.length === 0) return found;
    if (!(await this.#options.pendingStops.leave(ids, recording.stop))) return found;
    const again = new Map<string, FoundTask>();
    for (const { id, queue } of coming) for (const task of await this.record(queue, [id], recording)) again.set(id, task);
    await this.#options.pendingStops.clear(ids.filter((id) => again.get(id)?.recorded[0] !== 'missing'));
    return found.map((task) => {
      const now = again.get(task.id);
      if (!now) return task;
      return now.recorded[0] === 'missing' ? { ...now, recorded: ['left', recording.stop, null, null, null] } : now;
    });
  }

  /** Settles the held jobs, and returns the answer for each task. */
  async settle(found: readonly FoundTask[], token: string): Promise<Map<string, StopAnswer>> {
    const answers = new Map(found.map(({ id, queue, recorded }) => [id, answerOf(queue, recorded)]));
    const held = found.flatMap(({ id, queue, recorded: [what, , , , options, name] }): HeldJob[] => {
      const answer = answers.get(id);
      if ((what !== 'taken' && what !== 'fenced') || answer?.kind !== 'recorded') return [];
      return [{ id, queue, name: name ?? '', stop: answer.stop, via: what === 'taken' ? 'queue' : 'fence', options: options ?? '{}' }];
    });
    const settled = await this.#settler.settle(held, token);
    for (const { id, queue, stop, via } of held) {
      const settledAt = settled.get(id);
      if (settledAt) answers.set(id, { kind: 'cancelled', stop: { ...stop, via }, settledAt, queue });
    }
    return answers;
  }
}

/** Splits tasks by queue into groups for one script each. */
export function groupsOf(byQueue: ReadonlyMap<string, string[]>): { queue: string; some: string[] }[] {
  return [...byQueue].flatMap(([queue, all]) => chunks(all, RECORD_AT_ONCE).map((some) => ({ queue, some })));
}

/** Makes the token of a lock that a stop takes. */
export function newToken(): string {
  return `stop:${uuidv7()}`;
}

interface ChildrenOptions {
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
