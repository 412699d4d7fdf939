import { setTimeout } from 'node:timers/promises';
import { describeValue } from '../../shared/arguments.js';
import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { FleetError } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import { isUnavailability } from '../../shared/redis/connection-errors.js';
import type { ScriptedRedis } from '../../shared/scripts/define-scripts.js';
import { type StopReceipt, TaskCancelled, receiptOf } from '../../shared/stop/receipt.js';
import { StateChanges, type TaskEvent, parseEvent } from '../../shared/task/event-stream.js';
import { isTerminal } from '../../shared/task/state.js';
import type { TaskReader } from '../../shared/task/task-reader.js';
import type { TaskView } from '../../shared/task/view.js';
import { type JobEnd, type JobEvents, type JobListener, endSaidBy } from './events.js';
import { Notice, type StreamEntry, type StreamHub, compareStreamIds } from './stream-reader.js';

export interface WaitOptions {
  /** Maximum wait in ms. Default: no limit. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The state is read again after this time, in case a notification is lost or none is sent. */
const RECHECK_MS = 2_000;
const RETRY_MS = 10;
const REMOVED = 'The task was removed before it ended';

/** A job's end, as the events have reported it so far. */
interface Heard {
  end: JobEnd | null;
}

interface WatchOptions {
  readonly clock: Pick<FleetClock, 'now'>;
  readonly redis: ScriptedRedis;
  readonly reader: TaskReader;
  readonly hub: StreamHub;
  readonly jobEvents: JobEvents;
  readonly keys: Keys;
  /** Resolves when the connection is back; rejects when that takes too long. */
  readonly reconnected: () => Promise<void>;
  /** Interval in ms at which the state is read again, in case a notification is lost. Default 2,000. */
  readonly recheckMs?: number | undefined;
}

/** Waits for tasks and follows them, by notification. Waits survive a brief loss of the connection. */
export class Watch {
  readonly #redis: ScriptedRedis;
  readonly #clock: Pick<FleetClock, 'now'>;
  readonly #reader: TaskReader;
  readonly #hub: StreamHub;
  readonly #jobEvents: JobEvents;
  readonly #keys: Keys;
  readonly #reconnected: () => Promise<void>;
  readonly #recheckMs: number;
  readonly #waiting = new Set<Notice>();
  #closed = false;

  constructor(options: WatchOptions) {
    this.#redis = options.redis;
    this.#clock = options.clock;
    this.#reader = options.reader;
    this.#hub = options.hub;
    this.#jobEvents = options.jobEvents;
    this.#keys = options.keys;
    this.#reconnected = options.reconnected;
    this.#recheckMs = options.recheckMs ?? RECHECK_MS;
  }

  /** Ends every wait with `CLOSED`. */
  close(): void {
    this.#closed = true;
    for (const notice of this.#waiting) notice.raise();
  }

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
    const notice = new Notice();
    const heard: Heard = { end: null };
    const end =
      task.queue === null
        ? null
        : await this.#jobEvents.listen(task.queue, id, (event, fields) => {
            hear(heard, event, fields);
            if (heard.end !== null || event === 'removed' || event === 'cleaned') notice.raise();
          });
    try {
      for (;;) {
        const now = await this.#read(id);
        if (!now) return await this.#gone(task, heard);
        task = now;
        const left = deadline - performance.now();
        if (isTerminal(task.state) || left <= 0) return task;
        await this.#wait(notice, Math.min(left, this.#recheckMs), signal);
      }
    } finally {
      end?.();
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
    const notice = new Notice();
    const heard: Heard = { end: null };
    const arrived: StreamEntry[] = [];
    const ends: (() => void)[] = [];
    try {
      const onEntries = (entries: readonly StreamEntry[]): void => {
        arrived.push(...entries);
        notice.raise();
      };
      ends.push(await this.#hub.follow(this.#keys.events(id), onEntries));
      const onEvent: JobListener = (event, fields) => {
        hear(heard, event, fields);
        notice.raise();
      };
      if (first.queue !== null) ends.push(await this.#jobEvents.listen(first.queue, id, onEvent));
      const changes = new StateChanges();
      const now = after !== null || isTerminal(first.state) ? null : changes.ofTask(first);
      if (now) yield now;
      yield* this.#follow(first, after ?? '0-0', changes, { arrived, heard, notice }, signal);
    } finally {
      for (const end of ends) end();
    }
  }

  async *#follow(
    task: TaskView,
    after: string,
    changes: StateChanges,
    { arrived, heard, notice }: { arrived: StreamEntry[]; heard: Heard; notice: Notice },
    signal?: AbortSignal,
  ): AsyncGenerator<TaskEvent, void, undefined> {
    const { id } = task;
    let seen = after;
    let current = task;
    arrived.unshift(...(await this.#history(id, after)));
    for (;;) {
      current = (await this.#read(id)) ?? (await this.#gone(current, heard));
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
      await this.#wait(notice, this.#recheckMs, signal);
    }
  }

  async #history(id: string, after: string): Promise<StreamEntry[]> {
    const entries = await this.#retried(() => this.#redis.xrange(this.#keys.events(id), `(${after}`, '+'));
    return entries.map(([entryId, fields]) => ({ id: entryId, fields }));
  }

  /** Reads the task; null if it is gone. */
  async #read(id: string): Promise<TaskView | null> {
    return (await this.#retried(() => this.#reader.read([id], 'whole'))).get(id) ?? null;
  }

  /** Returns the final view of a task that is gone: it ended without retention (its queue's events tell how), or it was removed. */
  async #gone(task: TaskView, heard: Heard): Promise<TaskView> {
    const { id, queue } = task;
    const finishedAt = new Date(this.#clock.now());
    if (queue === null) return { ...task, state: 'completed', finishedAt };
    // Prefer the heard end: a busy queue may have trimmed the event by now.
    const end = heard.end ?? (await this.#retried(() => this.#jobEvents.endOf(queue, id)));
    if (!end) return { ...task, state: 'cancelled', error: REMOVED, finishedAt };
    const { event, fields } = end;
    if (event === 'completed')
      return { ...task, state: 'completed', result: JSON.parse(fields['returnvalue'] ?? 'null'), error: null, finishedAt };
    const stopped = task.stop !== null || (await this.#wasCancelled(id));
    return { ...task, state: stopped ? 'cancelled' : 'failed', error: fields['failedReason'] ?? null, finishedAt };
  }

  /** Returns whether the last event in a task's stream is its cancellation, for a task that is no longer stored. */
  async #wasCancelled(id: string): Promise<boolean> {
    const [last] = await this.#retried(() => this.#redis.xrevrange(this.#keys.events(id), '+', '-', 'COUNT', 1));
    const event = last ? parseEvent(...last) : null;
    return event?.type === 'state' && event.state === 'cancelled';
  }

  /** Repeats a read after the connection is restored. */
  async #retried<Value>(read: () => Promise<Value>): Promise<Value> {
    for (;;) {
      try {
        return await read();
      } catch (error) {
        if (this.#closed || !isUnavailability(error)) throw error;
        // The client may not have noticed the loss yet; without a pause, this loop would starve the socket events.
        await setTimeout(RETRY_MS);
        await this.#reconnected();
      }
    }
  }

  async #wait(notice: Notice, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    this.#waiting.add(notice);
    try {
      if (!this.#closed) await notice.wait(timeoutMs, signal);
    } finally {
      this.#waiting.delete(notice);
    }
    if (this.#closed) throw new FleetError('CLOSED', 'This producer was closed during the wait.');
  }
}

function hear(heard: Heard, event: string, fields: Readonly<Record<string, string>>): void {
  const end = endSaidBy(event, fields);
  if (end !== undefined) heard.end = end;
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
