import { type Producer, type TaskView, type TaskWaiting, isTerminal, taskToJson } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { MAX_PAGE_SIZE } from '../../../shared/limits.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { Store } from '../../../shared/store.js';
import { limitIn, withLimitIn } from '../../../shared/task/wait/waiting.js';
import { Broadcast } from './broadcast.js';
import { eventText } from './event-writer.js';

/** A task as JSON text, with the item that decides its visibility. */
interface Listed {
  readonly item: string | null;
  readonly text: string;
  /** Tells whether the task has changed. */
  readonly state: string;
}

/** The changes since the previous poll. */
export class Change {
  readonly #changed: readonly Listed[];
  readonly #removed: readonly { readonly id: string; readonly item: string | null }[];
  #whole: Buffer | null = null;

  constructor(changed: readonly Listed[], removed: readonly { readonly id: string; readonly item: string | null }[]) {
    this.#changed = changed;
    this.#removed = removed;
  }

  /** The memory used, in characters of JSON. */
  get size(): number {
    return this.#changed.reduce((sum, { text }) => sum + text.length, this.#removed.length * ID_LENGTH);
  }

  /** Returns the event for callers that see all items; they share one buffer. */
  whole(): Buffer {
    return (this.#whole ??= Buffer.from(
      eventText(
        'change',
        this.#json(() => true),
      ),
    ));
  }

  /** Returns the event for the visible items; null if there are none. */
  part(sees: (item: string | null) => boolean): string | null {
    return [...this.#changed, ...this.#removed].some(({ item }) => sees(item)) ? eventText('change', this.#json(sees)) : null;
  }

  #json(sees: (item: string | null) => boolean): string {
    const changed = this.#changed.filter(({ item }) => sees(item)).map(({ text }) => text);
    const removed = this.#removed.filter(({ item }) => sees(item)).map(({ id }) => id);
    return `{"changed":[${changed.join(',')}],"removed":${JSON.stringify(removed)}}`;
  }
}

/** How many of the newest live tasks are polled; pages with older ones reload. */
const MAX_POLLED = MAX_PAGE_SIZE;
/** A client that falls behind this buffer starts over. */
const BUFFER = { entries: 60, size: 16 * 1_048_576 } as const;
/** Changes of position beyond this one are not sent. The page names no position beyond it. */
const TOLD_POSITIONS = 10;
/** The approximate length of a task id. */
const ID_LENGTH = 40;

/** Polls the newest live tasks while clients listen, and broadcasts the changes: one reader for any number of clients. */
export class ListFeed {
  readonly #producer: Producer;
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  readonly log = new Broadcast<Change>(BUFFER);
  #listeners = 0;
  #known: Map<string, Listed> | null = null;
  #polling: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: { producer: Producer; store: Store; logger: Logger; intervalMs: number }) {
    this.#producer = options.producer;
    this.#store = options.store;
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs;
  }

  /** Starts listening until `leave`. Resolves with the log position from which no change is missed. */
  async join(): Promise<number> {
    this.#listeners += 1;
    try {
      if (this.#known === null) await this.#poll();
      return this.log.next;
    } catch (error) {
      this.leave();
      throw error;
    }
  }

  leave(): void {
    this.#listeners -= 1;
    if (this.#listeners > 0) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#known = null;
  }

  #poll(): Promise<void> {
    this.#polling ??= this.#compare().finally(() => {
      this.#polling = null;
      this.#timer ??= this.#listeners > 0 ? setTimeout(this.#onTime, this.#intervalMs) : null;
    });
    return this.#polling;
  }

  readonly #onTime = (): void => {
    this.#timer = null;
    this.#poll().catch((error: unknown) => {
      // While Redis is unavailable nothing is sent; the next poll catches up.
      if (!isFleetError(error, 'REDIS_UNAVAILABLE', 'CLOSED'))
        this.#logger.error({ error }, 'Could not list the live tasks; polling again');
    });
  };

  async #compare(): Promise<void> {
    const { tasks } = await this.#producer.list({ limit: MAX_POLLED });
    const now = new Map(tasks.map((task) => [task.id, listed(task)]));
    const before = this.#known;
    if (before !== null) {
      const changed = [...now].filter(([id, { state }]) => before.get(id)?.state !== state).map(([, one]) => one);
      const { ended, removed } = await this.#findRemoved(before, now);
      if (changed.length + removed.length > 0) this.#broadcast(new Change([...changed, ...ended], removed));
    }
    if (this.#listeners > 0) this.#known = now;
  }

  #broadcast(change: Change): void {
    this.log.push(change, change.size);
  }

  /** Returns tasks that left the newest: finished ones, not those pushed out by newer tasks. */
  async #findRemoved(
    before: ReadonlyMap<string, Listed>,
    now: ReadonlyMap<string, Listed>,
  ): Promise<{ ended: Listed[]; removed: { id: string; item: string | null }[] }> {
    const missing = [...before].filter(([id]) => !now.has(id));
    const tasks = missing.length === 0 ? new Map<string, TaskView>() : await this.#store.reader.read(missing.map(([id]) => id));
    const over = missing.filter(([id]) => isTerminal(tasks.get(id)?.state ?? 'completed'));
    return {
      ended: over.flatMap(([id]) => listedIfAny(tasks.get(id))),
      removed: over.map(([id, { item }]) => ({ id, item })),
    };
  }
}

function listed(task: TaskView): Listed {
  const text = JSON.stringify(taskToJson(task));
  return {
    item: task.item,
    text,
    state: task.waitingFor === null ? text : JSON.stringify(taskToJson({ ...task, waitingFor: steady(task.waitingFor) })),
  };
}

/**
 * Leaves out what changes for a whole line when its first task starts, for tasks far behind: otherwise a long line would be sent each time.
 */
function steady(waitingFor: TaskWaiting): TaskWaiting {
  const limit = limitIn(waitingFor);
  if (limit === null) return waitingFor;
  const position = limit.position <= TOLD_POSITIONS ? limit.position : TOLD_POSITIONS + 1;
  return withLimitIn(waitingFor, { ...limit, position, length: 0, running: 0, nextAt: null });
}

function listedIfAny(task: TaskView | undefined): Listed[] {
  return task ? [listed(task)] : [];
}
