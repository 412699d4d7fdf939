import { setTimeout } from 'node:timers/promises';
import {
  type Producer,
  type TaskEvent,
  type TaskStateEvent,
  type TaskView,
  isTerminal,
  receiptToJson,
  taskToJson,
} from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/logger.js';
import type { Store } from '../../../shared/store.js';
import { parseEvent } from '../../../shared/task/event-stream.js';
import { Broadcast } from './broadcast.js';
import { eventText } from './event-writer.js';
import { SingleFlight } from './single-flight.js';

/** A part of what a task said before somebody began to follow it. */
export interface HistoryPage {
  readonly said: readonly Said[];
  /** Id of its last entry; null on the last page. */
  readonly last: string | null;
}

/** An event, and its text on the wire. */
export interface Said {
  readonly event: TaskEvent;
  readonly text: string;
}

/** Where one who comes now takes up a feed. */
export interface Joined {
  /** The place in the log. */
  readonly from: number;
  /** The last id of what was before. */
  readonly upTo: string;
  /** The state of the task at that place; null if it has ended. */
  readonly state: Said | null;
}

const KEPT = { entries: 2_000, size: 4 * 1_048_576 } as const;
const HISTORY_AT_ONCE = 500;
const RETRY_MS = 1_000;

/**
 * One task's events, for all clients that follow it: read once, written as text once. What was before is read when a
 * client asks for it, once for those that ask together.
 */
export class TaskFeed {
  readonly #id: string;
  readonly #producer: Producer;
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  readonly #reads = new SingleFlight();
  readonly log = new Broadcast<string>(KEPT);
  /** Id of the last entry of the task's stream that was passed on, or was there before. */
  #lastId = '0-0';
  #state: Said | null = null;

  constructor(id: string, producer: Producer, store: Store, logger: Logger) {
    this.#id = id;
    this.#producer = producer;
    this.#store = store;
    this.#logger = logger;
  }

  /** Resolves when nothing more will be missed. @throws FleetError `TASK_NOT_FOUND`, `REDIS_UNAVAILABLE` */
  async start(): Promise<void> {
    const { redis, keys } = this.#store;
    const [newest] = await redis.xrevrange(keys.events(this.#id), '+', '-', 'COUNT', 1);
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

  join(): Joined {
    // The last event of a task that is over is for everyone.
    return { from: this.log.ended ? Math.max(0, this.log.next - 1) : this.log.next, upTo: this.#lastId, state: this.#state };
  }

  /** The task as it is now; null if it is gone. */
  read(): Promise<TaskView | null> {
    return this.#reads.ask('task', () => this.#producer.get(this.#id));
  }

  /** What was said after one id, up to another. */
  history(after: string, upTo: string): Promise<HistoryPage> {
    return this.#reads.ask(`${after} ${upTo}`, async () => {
      const entries = await this.#store.redis.xrange(this.#store.keys.events(this.#id), `(${after}`, upTo, 'COUNT', HISTORY_AT_ONCE);
      const events = entries.map(([id, fields]) => parseEvent(id, fields));
      // How an earlier run ended is no end now.
      const all = events.flatMap((event) => (event === null || isEnd(event) ? [] : [said(event)]));
      return { said: all, last: entries.length < HISTORY_AT_ONCE ? null : (entries.at(-1)?.[0] ?? null) };
    });
  }

  #events(): AsyncGenerator<TaskEvent, void, undefined> {
    return this.#producer.events(this.#id, { after: this.#lastId, signal: this.#abort.signal });
  }

  async #run(first: AsyncGenerator<TaskEvent, void, undefined>): Promise<void> {
    for (let events = first; ; events = this.#events()) {
      try {
        for await (const event of events) await this.#pass(event);
        return this.log.end();
      } catch (error) {
        if (!(await this.#mayGoOn(error))) return this.log.end();
      }
    }
  }

  /** While Redis is away its clients stay, and hear the rest when it is back. */
  async #mayGoOn(error: unknown): Promise<boolean> {
    const { signal } = this.#abort;
    if (signal.aborted) return false;
    if (isFleetError(error, 'REDIS_UNAVAILABLE')) {
      await setTimeout(RETRY_MS, undefined, { signal }).catch(() => undefined);
      return !signal.aborted;
    }
    if (!isFleetError(error, 'TASK_NOT_FOUND', 'CLOSED'))
      this.#logger.error({ error, task: this.#id }, 'The events of a task cannot be followed');
    return false;
  }

  async #pass(event: TaskEvent): Promise<void> {
    const text = isEnd(event) ? await this.#endText(event) : textOf(event);
    if (event.id !== null) this.#lastId = event.id;
    // Told to those who join, it has no place in the task's stream.
    if (event.type === 'state') this.#state = isTerminal(event.state) ? null : said({ ...event, id: null });
    this.log.push(text, text.length);
    if (isEnd(event)) this.log.end();
  }

  /** The last event has the task as it ended, if it is kept. Its id tells a client that comes back with it that there is no more. */
  async #endText(event: TaskStateEvent): Promise<string> {
    const task = await this.#producer.get(this.#id).catch(() => null);
    return eventText('state', stateData(event, task && isTerminal(task.state) ? task : null), `${this.#lastId}-end`);
  }
}

function said(event: TaskEvent): Said {
  return { event, text: textOf(event) };
}

function isEnd(event: TaskEvent): event is TaskStateEvent {
  return event.type === 'state' && isTerminal(event.state);
}

function textOf(event: TaskEvent): string {
  const id = event.id ?? undefined;
  switch (event.type) {
    case 'chunk':
      return eventText('chunk', JSON.stringify({ chunk: event.chunk }), id);
    case 'progress':
      return eventText('progress', JSON.stringify({ progress: event.progress }), id);
    case 'state':
      return eventText('state', stateData(event, null), id);
  }
}

function stateData({ state, attempt, receipt }: TaskStateEvent, task: TaskView | null): string {
  return JSON.stringify({
    state,
    attempt: attempt ?? null,
    receipt: receipt ? receiptToJson(receipt) : null,
    task: task && taskToJson(task),
  });
}
