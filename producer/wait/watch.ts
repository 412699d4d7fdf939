import { describeValue } from '../../shared/arguments.js';
import { endRunning } from '../../shared/attempt/history.js';
import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { FleetError } from '../../shared/errors.js';
import type { TaskEvent, TaskStateEvent } from '../../shared/events/event.js';
import { EventHistory } from '../../shared/events/history.js';
import { stateEventOf } from '../../shared/events/state-event.js';
import type { Keys } from '../../shared/keys.js';
import type { ScriptedRedis } from '../../shared/scripts/define-scripts.js';
import { type StopReceipt, TaskCancelled, receiptOf } from '../../shared/stop/receipt.js';
import { parseEvent, readLastState } from '../../shared/task/event-stream.js';
import { isTerminal } from '../../shared/task/state.js';
import type { TaskReader } from '../../shared/task/task-reader.js';
import type { TaskView } from '../../shared/task/view.js';
import { type StreamEntry, type StreamHub, compareStreamIds } from './stream-reader.js';
import type { Wait, Waiter } from './waiter.js';

export interface WaitOptions {
  /** Maximum wait in ms. Default: no limit. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The state is read again after this time, in case a notification is lost or none is sent. */
const RECHECK_MS = 2_000;
const REMOVED = 'The task was removed before it ended';

interface WatchOptions {
  readonly clock: Pick<FleetClock, 'now'>;
  readonly redis: ScriptedRedis;
  readonly reader: TaskReader;
  readonly keys: Keys;
  readonly hub: StreamHub;
  readonly waiter: Waiter;
  /** Interval in ms at which the state is read again, in case a notification is lost. Default 2,000. */
  readonly recheckMs?: number | undefined;
}

/** Waits for single tasks and follows their events. */
export class Watch {
  constructor(private readonly options: WatchOptions) {}

  /** Returns the task. @throws FleetError `TASK_NOT_FOUND` */
  async get(id: string): Promise<TaskView> {
    const task = await this.#read(id);
    if (!task)
      throw new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`, { details: { id } });
    return task;
  }

  /**
   * Waits until the task has completed, failed or been skipped, and returns it.
   * @throws TaskCancelled with the receipt, if it was stopped, or removed before it ended; FleetError `TASK_NOT_FOUND`,
   *   `WAIT_TIMEOUT`, `INVALID_OPTION`, `CLOSED`; the signal's reason
   */
  async untilFinished(id: string, options: WaitOptions): Promise<TaskView> {
    const end = await this.untilEnded(id, options);
    if (end.state === 'cancelled') throw new TaskCancelled(receiptOfEnd(end));
    if (isTerminal(end.state)) return end;
    throw new FleetError('WAIT_TIMEOUT', `Task ${id} is still ${end.state} after ${options.timeoutMs} ms.`, {
      details: { id, state: end.state },
    });
  }

  /**
   * Resolves with the task once it is in a terminal state, or in its current state at the timeout. A task removed before its
   * end counts as cancelled. Foreign tasks send no notifications: they are polled every two seconds, and count as completed once gone.
   */
  async untilEnded(id: string, { timeoutMs = Infinity, signal }: WaitOptions): Promise<TaskView> {
    checkTimeout(timeoutMs);
    const deadline = performance.now() + timeoutMs;
    let task = await this.get(id);
    if (isTerminal(task.state) || timeoutMs <= 0) return task;
    const wait = await this.options.waiter.start([task]);
    try {
      for (;;) {
        const now = await this.#read(id);
        if (!now) return await this.#gone(task, wait);
        task = now;
        const left = deadline - performance.now();
        if (isTerminal(task.state) || left <= 0) return task;
        await wait.next(Math.min(left, this.#recheckMs), signal);
      }
    } finally {
      wait.close();
    }
  }

  /**
   * Yields the task's events so far: the beginning and end of each recorded attempt and the stored output between them. Then progress,
   * chunks and state changes as they arrive, last the terminal state, with the receipt if the task was cancelled. Each attempt starts
   * with `running`. With `after`, the id of the last event seen, the missed output comes first, then the current state.
   */
  async *events(
    id: string,
    { after = null, signal }: { after?: string | null; signal?: AbortSignal },
  ): AsyncGenerator<TaskEvent, void, undefined> {
    if (after !== null) checkEventId(after);
    const first = await this.get(id);
    const { hub, keys, waiter } = this.options;
    const wait = await waiter.start([first], { everyEvent: true });
    const arrived: StreamEntry[] = [];
    try {
      wait.onClose(
        await hub.follow(keys.events(id), (entries) => {
          arrived.push(...entries);
          wait.wake();
        }),
      );
      const history = new EventHistory();
      if (after !== null) history.skip(first);
      yield* this.#follow(first, after ?? '0-0', history, { arrived, wait }, signal);
    } finally {
      wait.close();
    }
  }

  async *#follow(
    task: TaskView,
    after: string,
    history: EventHistory,
    { arrived, wait }: { arrived: StreamEntry[]; wait: Wait },
    signal?: AbortSignal,
  ): AsyncGenerator<TaskEvent, void, undefined> {
    const { id } = task;
    let seen = after;
    let current = task;
    arrived.unshift(...(await this.#stored(id, after)));
    for (;;) {
      // Taken before the task is read, so that its record has the attempts of these entries.
      const entries = arrived.splice(0);
      current = (await this.#read(id)) ?? (await this.#gone(current, wait));
      history.learn(current);
      // Events up to this state are in the stream by now, but may not have arrived here.
      if (!history.changes.knows(current)) entries.push(...(await this.#stored(id, seen)));
      const events = entries.flatMap((entry) => {
        if (compareStreamIds(entry.id, seen) <= 0) return [];
        seen = entry.id;
        return parseEvent(entry.id, entry.fields) ?? [];
      });
      const news = history.merge(events);
      yield* news;
      yield* history.rest();
      const now = new Date(this.options.clock.now());
      if (isTerminal(current.state)) return yield endOf(current, now);
      // The stream may be ahead of the task that was read before it.
      if (news.some(({ type, id: entry }) => type === 'state' && entry !== null)) continue;
      if (history.changes.isChange(current)) yield stateEventOf(current, now);
      await wait.next(this.#recheckMs, signal);
    }
  }

  async #stored(id: string, after: string): Promise<StreamEntry[]> {
    const entries = await this.options.waiter.retried(() => this.options.redis.xrange(this.options.keys.events(id), `(${after}`, '+'));
    return entries.map(([entryId, fields]) => ({ id: entryId, fields }));
  }

  /** Reads the task; null if it is gone. */
  async #read(id: string): Promise<TaskView | null> {
    return (await this.options.waiter.retried(() => this.options.reader.read([id], 'whole'))).get(id) ?? null;
  }

  /** Returns the final view of a task that is gone: it ended without retention (its queue's events tell how), or it was removed. */
  async #gone(task: TaskView, wait: Wait): Promise<TaskView> {
    const { id, queue } = task;
    const finishedAt = new Date(this.options.clock.now());
    if (queue === null) return { ...task, state: 'completed', finishedAt };
    const end = await this.options.waiter.retried(() => wait.departureOf(queue, id));
    if (end === null || end === 'removed') return { ...task, state: 'cancelled', error: REMOVED, finishedAt };
    const { event, fields } = end;
    const last = await this.options.waiter.retried(() => readLastState(this.options.redis, this.options.keys.events(id)));
    if (event === 'completed' && last === 'skipped') return { ...task, state: 'skipped', error: null, finishedAt };
    const endIn = (state: 'completed' | 'failed' | 'cancelled', error: string | null): TaskView => {
      const attempts = endRunning(task.attempts, state, finishedAt, error);
      return { ...task, state, attempts, nextAttemptAt: null, error, finishedAt };
    };
    if (event === 'completed') return { ...endIn('completed', null), result: JSON.parse(fields['returnvalue'] ?? 'null') };
    return endIn(task.stop !== null || last === 'cancelled' ? 'cancelled' : 'failed', fields['failedReason'] ?? null);
  }

  get #recheckMs(): number {
    return this.options.recheckMs ?? RECHECK_MS;
  }
}

function endOf(task: TaskView, now: Date): TaskStateEvent {
  return { ...stateEventOf(task, now), ...(task.state === 'cancelled' && { receipt: receiptOfEnd(task) }) };
}

/** Returns the receipt of a cancelled task; for a task removed without a stop, the reason is its removal. */
function receiptOfEnd(task: TaskView): StopReceipt {
  const receipt = receiptOf(task.id, task);
  return task.stop ? receipt : { ...receipt, reason: task.error };
}

function checkTimeout(timeoutMs: unknown): void {
  if (typeof timeoutMs === 'number' && timeoutMs >= 0) return;
  throw new FleetError('INVALID_OPTION', `Bad timeoutMs: expected ms, a number from 0, got ${describeValue(timeoutMs)}.`, {
    details: { field: 'timeoutMs' },
  });
}

function checkEventId(after: unknown): void {
  if (typeof after === 'string' && /^\d{1,16}(-\d{1,16})?$/.test(after)) return;
  throw new FleetError('INVALID_OPTION', `Bad after: expected an event id, got ${describeValue(after)}.`, {
    details: { field: 'after' },
  });
}
