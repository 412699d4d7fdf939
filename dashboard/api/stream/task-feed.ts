import { setTimeout } from 'node:timers/promises';
import {
  type Producer,
  type TaskEvent,
  type TaskStateEvent,
  type TaskView,
  eventToJson,
  hideStacks,
  isTerminal,
  taskToJson,
} from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { Store } from '../../../shared/store.js';
import { parseEvent } from '../../../shared/task/event-stream.js';
import { Broadcast, SingleFlight } from './broadcast.js';
import { eventText } from './event-writer.js';

/** A page of a task's earlier events. */
export interface HistoryPage {
  readonly serialized: readonly SerializedEvent[];
  /** The id of the page's last entry; null on the last page. */
  readonly last: string | null;
}

/** An event and its wire format. */
export interface SerializedEvent {
  readonly event: TaskEvent;
  readonly text: string;
}

/** The position where a new client joins a feed. */
interface JoinPosition {
  /** The position in the log. */
  readonly from: number;
  /** The id of the last earlier event. */
  readonly upTo: string;
  /** The task's state at that position; null if it has finished. */
  readonly state: SerializedEvent | null;
}

const BUFFER = { entries: 2_000, size: 4 * 1_048_576 } as const;
const HISTORY_PAGE_SIZE = 500;
const RETRY_MS = 1_000;

/**
 * A task's events for all clients that follow it, read and serialized once. Earlier events are read on demand; concurrent reads are
 * shared.
 */
export class TaskFeed {
  readonly #abort = new AbortController();
  readonly #reads = new SingleFlight();
  readonly log = new Broadcast<string>(BUFFER);
  /** The id of the last stream entry that was passed on or existed at the start. */
  #lastId = '0-0';
  #state: SerializedEvent | null = null;

  constructor(
    private readonly id: string,
    private readonly producer: Producer,
    private readonly store: Store,
    private readonly logger: Logger,
  ) {}

  /** Starts the feed; resolves once no event can be missed. @throws FleetError `TASK_NOT_FOUND`, `REDIS_UNAVAILABLE` */
  async start(): Promise<void> {
    const { redis, keys } = this.store;
    const [newest] = await redis.xrevrange(keys.events(this.id), '+', '-', 'COUNT', 1);
    this.#lastId = newest?.[0] ?? '0-0';
    const events = this.#events();
    const first = await events.next();
    if (!first.done) await this.#pass(first.value);
    void this.#run(events);
  }

  stop(): void {
    this.#abort.abort();
    this.log.end();
  }

  join(): JoinPosition {
    // Every client gets the last event of a finished task.
    return { from: this.log.ended ? Math.max(0, this.log.next - 1) : this.log.next, upTo: this.#lastId, state: this.#state };
  }

  /** Reads the task; null if it no longer exists. */
  read(): Promise<TaskView | null> {
    return this.#reads.ask('task', () => this.producer.get(this.id));
  }

  /** Reads the events after one id, up to another. */
  history(after: string, upTo: string): Promise<HistoryPage> {
    return this.#reads.ask(`${after} ${upTo}`, async () => {
      const entries = await this.store.redis.xrange(this.store.keys.events(this.id), `(${after}`, upTo, 'COUNT', HISTORY_PAGE_SIZE);
      const events = entries.map(([id, fields]) => parseEvent(id, fields));
      // The end of an earlier run does not end this one.
      const all = events.flatMap((event) => (event === null || isEnd(event) ? [] : [serialized(event)]));
      return { serialized: all, last: entries.length < HISTORY_PAGE_SIZE ? null : (entries.at(-1)?.[0] ?? null) };
    });
  }

  #events(): AsyncGenerator<TaskEvent, void, undefined> {
    return this.producer.events(this.id, { after: this.#lastId, signal: this.#abort.signal });
  }

  async #run(first: AsyncGenerator<TaskEvent, void, undefined>): Promise<void> {
    for (let events = first; ; events = this.#events()) {
      try {
        for await (const event of events) await this.#pass(event);
        return this.log.end();
      } catch (error) {
        if (!(await this.#waitForRetry(error))) return this.log.end();
      }
    }
  }

  /** Waits for a retry while Redis is unavailable; clients stay connected and catch up. */
  async #waitForRetry(error: unknown): Promise<boolean> {
    const { signal } = this.#abort;
    if (signal.aborted) return false;
    if (isFleetError(error, 'REDIS_UNAVAILABLE')) {
      await setTimeout(RETRY_MS, undefined, { signal }).catch(() => undefined);
      return !signal.aborted;
    }
    if (!isFleetError(error, 'TASK_NOT_FOUND', 'CLOSED'))
      this.logger.error({ error, task: this.id }, "Could not follow a task's events; ending its streams");
    return false;
  }

  async #pass(event: TaskEvent): Promise<void> {
    const text = isEnd(event) ? await this.#endText(event) : textOf(event);
    if (event.id !== null) this.#lastId = event.id;
    // Sent to joining clients without an id: it has no position in the stream.
    if (event.type === 'state') this.#state = isTerminal(event.state) ? null : serialized({ ...event, id: null });
    this.log.push(text, text.length);
    if (isEnd(event)) this.log.end();
  }

  /** Formats the last event, with the finished task if retained. Its id tells a reconnecting client that nothing follows. */
  async #endText(event: TaskStateEvent): Promise<string> {
    const task = await this.producer.get(this.id).catch(() => null);
    return eventText('state', stateData(event, task && isTerminal(task.state) ? task : null), `${this.#lastId}-end`);
  }
}

function serialized(event: TaskEvent): SerializedEvent {
  return { event, text: textOf(event) };
}

function isEnd(event: TaskEvent): event is TaskStateEvent {
  return event.type === 'state' && isTerminal(event.state);
}

/** Formats an event; an end without its task. */
export function textOf(event: TaskEvent): string {
  const id = event.id ?? undefined;
  switch (event.type) {
    case 'chunk':
      return eventText('chunk', JSON.stringify({ at: event.at, chunk: event.chunk }), id);
    case 'progress':
      return eventText('progress', JSON.stringify({ at: event.at, progress: event.progress }), id);
    case 'state':
      return eventText('state', stateData(event, null), id);
  }
}

/** The text is sent to callers of every role, so it has no stacks. */
function stateData(event: TaskStateEvent, task: TaskView | null): string {
  const { type: _, id: __, ...data } = eventToJson(event, { stacks: false });
  return JSON.stringify({ ...data, task: task && taskToJson(hideStacks(task)) });
}
