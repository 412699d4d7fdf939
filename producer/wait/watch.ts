import { describeValue } from '../../shared/arguments.js';
import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { FleetError } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import type { ScriptedRedis } from '../../shared/scripts/define-scripts.js';
import { type StopReceipt, TaskCancelled, receiptOf } from '../../shared/stop/receipt.js';
import { StateChanges, type TaskEvent, parseEvent } from '../../shared/task/event-stream.js';
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
   * Waits until the task has completed or failed, and returns it.
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
   * Yields the task's current state, then progress, chunks and state changes as they arrive, last the terminal state, with the
   * receipt if the task was cancelled. An attempt that emits events starts with `running`. With `after`, the id of the last event
   * seen, the missed events come first, then the current state; without it, all stored events are replayed.
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
      const changes = new StateChanges();
      const now = after !== null || isTerminal(first.state) ? null : changes.ofTask(first);
      if (now) yield now;
      yield* this.#follow(first, after ?? '0-0', changes, { arrived, wait }, signal);
    } finally {
      wait.close();
    }
  }

  async *#follow(
    task: TaskView,
    after: string,
    changes: StateChanges,
    { arrived, wait }: { arrived: StreamEntry[]; wait: Wait },
    signal?: AbortSignal,
  ): AsyncGenerator<TaskEvent, void, undefined> {
    const { id } = task;
    let seen = after;
    let current = task;
    arrived.unshift(...(await this.#history(id, after)));
    for (;;) {
      current = (await this.#read(id)) ?? (await this.#gone(current, wait));
      const over = isTerminal(current.state);
      // Events up to this state are in the stream by now, but may not have arrived here.
      if (!changes.knows(current)) arrived.push(...(await this.#history(id, seen)));
      let changed = false;
      for (const entry of arrived.splice(0)) {
        if (compareStreamIds(entry.id, seen) <= 0) continue;
        seen = entry.id;
        const event = parseEvent(entry.id, entry.fields);
        if (event === null || !changes.isNews(event)) continue;
        changed ||= event.type === 'state';
        yield event;
      }
      if (over)
        return yield {
          type: 'state',
          id: null,
          state: current.state,
          ...(current.state === 'cancelled' && { receipt: receiptOfEnd(current) }),
        };
      // The stream may be ahead of the task that was read before it.
      if (changed) continue;
      const now = changes.ofTask(current);
      if (now) yield now;
      await wait.next(this.#recheckMs, signal);
    }
  }

  async #history(id: string, after: string): Promise<StreamEntry[]> {
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
    if (event === 'completed')
      return { ...task, state: 'completed', result: JSON.parse(fields['returnvalue'] ?? 'null'), error: null, finishedAt };
    const stopped = task.stop !== null || (await this.#wasCancelled(id));
    return { ...task, state: stopped ? 'cancelled' : 'failed', error: fields['failedReason'] ?? null, finishedAt };
  }

  /** Returns whether the last event in a task's stream is its cancellation, for a task that is no longer stored. */
  async #wasCancelled(id: string): Promise<boolean> {
    const [last] = await this.options.waiter.retried(() =>
      this.options.redis.xrevrange(this.options.keys.events(id), '+', '-', 'COUNT', 1),
    );
    const event = last ? parseEvent(...last) : null;
    return event?.type === 'state' && event.state === 'cancelled';
  }

  get #recheckMs(): number {
    return this.options.recheckMs ?? RECHECK_MS;
  }
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
