import { FleetError } from '../shared/errors.js';
import type { Keys } from '../shared/keys.js';
import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';
import { type TaskEvent, parseEvent } from '../shared/task/event-stream.js';
import { type TaskState, isTerminal } from '../shared/task/state.js';
import type { TaskReader } from '../shared/task/task-reader.js';
import type { TaskView } from '../shared/task/view.js';
import type { JobEvents } from './job-events.js';
import { Notice } from './notice.js';
import { type StreamEntry, type StreamHub, compareStreamIds } from './stream-hub.js';

export interface WaitOptions {
  /** Longest wait in ms. Default: no limit. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Should a notification be lost, the state is read again after this time. */
const RECHECK_MS = 2_000;

/** Waits for tasks and follows them, by notification. */
export class Watch {
  readonly #redis: ScriptedRedis;
  readonly #reader: TaskReader;
  readonly #hub: StreamHub;
  readonly #jobEvents: JobEvents;
  readonly #keys: Keys;

  constructor(options: { redis: ScriptedRedis; reader: TaskReader; hub: StreamHub; jobEvents: JobEvents; keys: Keys }) {
    this.#redis = options.redis;
    this.#reader = options.reader;
    this.#hub = options.hub;
    this.#jobEvents = options.jobEvents;
    this.#keys = options.keys;
  }

  /** The task, or `TASK_NOT_FOUND`. */
  async get(id: string): Promise<TaskView> {
    const task = (await this.#reader.read([id])).get(id);
    if (!task) throw new FleetError('TASK_NOT_FOUND', `No task ${id}: it never was, or it is no longer kept.`, { details: { id } });
    return task;
  }

  /**
   * Resolves with the task when it is in a terminal state, or with its last state when the time is over. Foreign tasks
   * send no notifications: they are looked at every two seconds, and are over when they are gone.
   */
  async untilEnded(id: string, { timeoutMs = Infinity, signal }: WaitOptions): Promise<TaskView> {
    const deadline = performance.now() + timeoutMs;
    let task = await this.get(id);
    if (isTerminal(task.state) || timeoutMs <= 0) return task;
    const notice = new Notice();
    const last = { event: '', fields: {} as Readonly<Record<string, string>> };
    const end = task.queue === null ? null : await this.#jobEvents.listen(task.queue, id, (event, fields) => {
      if (event !== 'completed' && event !== 'failed' && event !== 'removed') return;
      Object.assign(last, { event, fields });
      notice.raise();
    });
    try {
      for (;;) {
        const now = (await this.#reader.read([id])).get(id);
        if (!now) return ended(task, last.event, last.fields);
        task = now;
        const left = deadline - performance.now();
        if (isTerminal(task.state) || left <= 0) return task;
        await notice.wait(Math.min(left, RECHECK_MS), signal);
      }
    } finally {
      end?.();
    }
  }

  /**
   * What happens to a task: first its state now, then progress, chunks and changes of state as they come, last its
   * terminal state. `after` is the id of the last event that was seen; without it, everything that is kept is repeated.
   */
  async *events(id: string, { after = null, signal }: { after?: string | null; signal?: AbortSignal }): AsyncGenerator<TaskEvent, void, undefined> {
    const first = await this.get(id);
    const notice = new Notice();
    const arrived: StreamEntry[] = [];
    const ends = await Promise.all([
      this.#hub.follow(this.#keys.events(id), (entries) => {
        arrived.push(...entries);
        notice.raise();
      }),
      first.queue === null ? () => undefined : this.#jobEvents.listen(first.queue, id, () => notice.raise()),
    ]);
    try {
      yield* this.#follow(first, after ?? '0-0', arrived, notice, signal);
    } finally {
      for (const end of ends) end();
    }
  }

  async *#follow(task: TaskView, after: string, arrived: StreamEntry[], notice: Notice, signal?: AbortSignal): AsyncGenerator<TaskEvent, void, undefined> {
    const { id } = task;
    let seen = after;
    let state: TaskState | null = null;
    let current: TaskView | null = task;
    if (!isTerminal(task.state)) yield { type: 'state', id: null, state: (state = task.state) };
    arrived.unshift(...(await this.#history(id, after)));
    for (;;) {
      // The state is read before the stream: all that a finished task had to say is in the stream by then.
      current = (await this.#reader.read([id])).get(id) ?? null;
      const over = current === null || isTerminal(current.state);
      if (over) arrived.push(...(await this.#history(id, seen)));
      for (const entry of arrived.splice(0)) {
        if (compareStreamIds(entry.id, seen) <= 0) continue;
        seen = entry.id;
        const event = parseEvent(entry.id, entry.fields);
        if (event === null || (event.type === 'state' && (event.state === state || isTerminal(event.state)))) continue;
        if (event.type === 'state') state = event.state;
        yield event;
      }
      if (current === null) return;
      if (current.state !== state) yield { type: 'state', id: null, state: (state = current.state) };
      if (over) return;
      await notice.wait(RECHECK_MS, signal);
    }
  }

  async #history(id: string, after: string): Promise<StreamEntry[]> {
    const entries = await this.#redis.xrange(this.#keys.events(id), `(${after}`, '+');
    return entries.map(([entryId, fields]) => ({ id: entryId, fields }));
  }
}

/** A task that ended and was no longer kept when we came to read it: the notification says how it ended. */
function ended(task: TaskView, event: string, fields: Readonly<Record<string, string>>): TaskView {
  const finishedAt = new Date();
  if (event === 'completed') return { ...task, state: 'completed', result: JSON.parse(fields['returnvalue'] ?? 'null'), error: null, finishedAt };
  if (event === 'failed') return { ...task, state: task.stop ? 'cancelled' : 'failed', error: fields['failedReason'] ?? null, finishedAt };
  if (task.queue === null) return { ...task, state: 'completed', finishedAt };
  throw new FleetError('TASK_NOT_FOUND', `Task ${task.id} was removed before it ended.`, { details: { id: task.id } });
}
