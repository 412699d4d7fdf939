import { uuidv7 } from 'uuidv7';
import { lostAttempt } from '../attempt/history.js';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { Limiter } from '../limiter/limiter.js';
import { isParked } from '../limiter/parked-jobs.js';
import { chunks } from '../limits.js';
import type { Logger } from '../log/logger.js';
import type { TaskCounters } from '../metrics/task-counters.js';
import type { Unreadable } from '../records/unreadable.js';
import type { Registry } from '../registry/registry.js';
import type { EndedTasks } from '../retention/ended-tasks.js';
import type { Schedulers } from '../schedule/schedulers.js';
import type { RecordedStop, ScriptedRedis } from '../scripts/define-scripts.js';
import { writeStates } from '../task/event-stream.js';
import type { JobAddress } from '../task/job-options.js';
import type { Queues } from '../task/queues.js';
import type { PendingStops } from './pending-stops.js';
import { type StopAnswer, answerOf } from './receipt.js';
import { type SettleListener, Settler, type StoppedJob } from './settler.js';

export interface RecorderOptions {
  readonly redis: ScriptedRedis;
  readonly queues: Queues;
  readonly registry: Registry;
  readonly pendingStops: PendingStops;
  readonly endedTasks: EndedTasks;
  readonly limiter: Limiter;
  readonly schedulers: Schedulers;
  readonly taskCounters: TaskCounters;
  readonly unreadable: Unreadable;
  readonly keys: Keys;
  readonly clock: Pick<FleetClock, 'now'>;
  /** How long the caller of a stop holds the jobs that it must settle, in ms. */
  readonly lockMs: number;
  readonly logger: Logger;
  /** Null if nobody listens. */
  readonly onSettled: SettleListener | null;
}

/** The record to write, and the lock for jobs that no worker runs. */
export interface Recording {
  /** As JSON; `''` to take only tasks whose stop was recorded before. */
  readonly stop: string;
  /** Text of the deferred failure. */
  readonly text: string;
  readonly token: string;
  /** Ids of dead workers. */
  readonly dead: readonly string[];
  /** Further arguments of the script: see `CommandPublisher.toWorkers`. Default: none. */
  readonly told?: readonly string[];
}

/** A result of the script. */
export interface FoundTask {
  readonly id: string;
  readonly queue: string;
  readonly recorded: RecordedStop;
  /** Before the script was called, by performance.now. */
  readonly since: number;
}

/** Tasks per script at most, because a script blocks Redis. */
const RECORD_AT_ONCE = 150;

/** Records stops with their tasks, and settles those that no worker runs. */
export class StopRecorder {
  readonly #options: RecorderOptions;
  readonly #settler: Settler;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#settler = new Settler(options);
  }

  /** Returns the tasks in the order of the ids. */
  async record(queue: string, ids: readonly string[], { stop, text, token, dead, told = [] }: Recording): Promise<FoundTask[]> {
    const { redis, queues, keys, lockMs, unreadable, clock } = this.#options;
    const fixed = [...queues.stopKeys(queue), keys.jobs(queue), stop, text, token, lockMs, JSON.stringify(dead), clock.now()];
    const since = performance.now();
    const recorded: RecordedStop[] = [];
    // The script may leave some for another call.
    while (recorded.length < ids.length) recorded.push(...(await redis.recordStop(...fixed, ...ids.slice(recorded.length), ...told)));
    return ids.map((id, index) => {
      const [what, problem] = recorded[index] as RecordedStop;
      if (what !== 'unreadable') return { id, queue, recorded: recorded[index] as RecordedStop, since };
      unreadable.report({ key: keys.jobs(queue) + id, problem });
      return { id, queue, recorded: ['missing', ''], since };
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

  /** Writes `stopping` to the event streams of the tasks that their workers settle, where these exist. */
  writeStopping(found: readonly FoundTask[]): void {
    const { redis, keys, logger } = this.#options;
    const ids = found.flatMap(({ id, recorded: [what] }) => (what === 'active' || what === 'left' ? [id] : []));
    if (ids.length === 0) return;
    writeStates(redis, keys.events(''), 'stopping', ids).catch((error: unknown) =>
      logger.debug({ tasks: ids.length, error }, "Could not write stops to the tasks' events"),
    );
  }

  /** Settles the jobs that the record took or ended, and returns the answer for each task. */
  async settle(found: readonly FoundTask[], token: string): Promise<Map<string, StopAnswer>> {
    const { clock } = this.#options;
    const answers = new Map<string, StopAnswer>();
    const now = clock.now();
    const stopped: StoppedJob[] = [];
    // By index and in one literal: there may be thousands, and destructuring an array or a spread costs more than the rest.
    for (const { id, queue, recorded, since } of found) {
      const answer = answerOf(queue, recorded);
      answers.set(id, answer);
      const what = recorded[0];
      if (!('stop' in answer) || (what !== 'fenced' && what !== 'taken' && what !== 'ended')) continue;
      const isFenced = what === 'fenced';
      stopped.push({
        id,
        queue,
        name: recorded[5] ?? '',
        stop: answer.stop,
        via: isFenced ? 'fence' : 'queue',
        lost: isFenced ? lostAttempt(recorded.slice(6), now) : null,
        parked: !isFenced && isParked(now + Number(recorded[6])),
        options: recorded[4] ?? '{}',
        endedAt: what === 'ended' && answer.kind === 'cancelled' ? answer.settledAt : null,
        since,
      });
    }
    const settled = await this.#settler.settle(stopped, token);
    for (const { id, queue, stop, via } of stopped) {
      const settledAt = settled.get(id);
      if (settledAt && answers.get(id)?.kind !== 'cancelled')
        answers.set(id, { kind: 'cancelled', stop: { ...stop, via }, settledAt, queue });
    }
    return answers;
  }
}

/** Splits tasks by queue into groups for one script each, by id: generated ids have the order of the wait list, where the script looks. */
export function groupsOf(byQueue: ReadonlyMap<string, string[]>): { queue: string; some: string[] }[] {
  return [...byQueue].flatMap(([queue, all]) => chunks(all.toSorted(), RECORD_AT_ONCE).map((some) => ({ queue, some })));
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
