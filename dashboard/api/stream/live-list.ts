import { type Producer, type TaskView, isTerminal, taskToJson } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/logger.js';
import type { Store } from '../../../shared/store.js';
import { Broadcast } from './broadcast.js';
import { eventText } from './event-writer.js';

/** A task as JSON text, and what decides who may see it. */
interface Listed {
  readonly item: string | null;
  readonly text: string;
}

/** What is different since the look before. */
export class Change {
  readonly #changed: readonly Listed[];
  readonly #removed: readonly { readonly id: string; readonly item: string | null }[];
  #whole: Buffer | null = null;

  constructor(changed: readonly Listed[], removed: readonly { readonly id: string; readonly item: string | null }[]) {
    this.#changed = changed;
    this.#removed = removed;
  }

  /** How much of memory it takes, in characters of JSON. */
  get size(): number {
    return this.#changed.reduce((sum, { text }) => sum + text.length, this.#removed.length * ID_LENGTH);
  }

  /** As an event, for those who see everything: the same bytes for all of them, however slowly they take them. */
  whole(): Buffer {
    return (this.#whole ??= Buffer.from(
      eventText(
        'change',
        this.#json(() => true),
      ),
    ));
  }

  /** As an event, the part of it with items that pass; null if there is none. */
  part(sees: (item: string | null) => boolean): string | null {
    return [...this.#changed, ...this.#removed].some(({ item }) => sees(item)) ? eventText('change', this.#json(sees)) : null;
  }

  #json(sees: (item: string | null) => boolean): string {
    const changed = this.#changed.filter(({ item }) => sees(item)).map(({ text }) => text);
    const removed = this.#removed.filter(({ item }) => sees(item)).map(({ id }) => id);
    return `{"changed":[${changed.join(',')}],"removed":${JSON.stringify(removed)}}`;
  }
}

/** The newest live tasks are watched; a page that shows older ones asks for them again. */
const WATCHED = 1_000;
/** A client that takes longer than this lasts begins anew. */
const KEPT = { entries: 60, size: 16 * 1_048_576 } as const;
/** Of the id of a task that is gone, roughly. */
const ID_LENGTH = 40;

/**
 * Looks at the newest live tasks every so often while somebody listens, and tells all of them what is different: one
 * reader for any number of clients, whatever the fleet does in between.
 */
export class LiveList {
  readonly #producer: Producer;
  readonly #store: () => Store;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  readonly log = new Broadcast<Change>(KEPT);
  #listeners = 0;
  #known: Map<string, Listed> | null = null;
  #looking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: { producer: Producer; store: () => Store; logger: Logger; intervalMs: number }) {
    this.#producer = options.producer;
    this.#store = options.store;
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs;
  }

  /** Resolves with where to take up the log: of what happens from now on, nothing is missed. Ends with `leave`. */
  async join(): Promise<number> {
    this.#listeners += 1;
    try {
      if (this.#known === null) await this.#look();
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

  #look(): Promise<void> {
    this.#looking ??= this.#compare().finally(() => {
      this.#looking = null;
      this.#timer ??= this.#listeners > 0 ? setTimeout(this.#onTime, this.#intervalMs) : null;
    });
    return this.#looking;
  }

  readonly #onTime = (): void => {
    this.#timer = null;
    this.#look().catch((error: unknown) => {
      // While Redis is away nothing can be told; the next look tells all that came about meanwhile.
      if (!isFleetError(error, 'REDIS_UNAVAILABLE', 'CLOSED')) this.#logger.error({ error }, 'The live tasks cannot be listed');
    });
  };

  async #compare(): Promise<void> {
    const { tasks } = await this.#producer.list({ limit: WATCHED });
    const now = new Map(tasks.map((task) => [task.id, listed(task)]));
    const before = this.#known;
    if (before !== null) {
      const changed = [...now].filter(([id, { text }]) => before.get(id)?.text !== text).map(([, one]) => one);
      const { ended, removed } = await this.#gone(before, now);
      if (changed.length + removed.length > 0) this.#tell(new Change([...changed, ...ended], removed));
    }
    if (this.#listeners > 0) this.#known = now;
  }

  #tell(change: Change): void {
    this.log.push(change, change.size);
  }

  /** What is no longer among the newest: newer ones may have pushed it out, or it is over. */
  async #gone(
    before: ReadonlyMap<string, Listed>,
    now: ReadonlyMap<string, Listed>,
  ): Promise<{ ended: Listed[]; removed: { id: string; item: string | null }[] }> {
    const missing = [...before].filter(([id]) => !now.has(id));
    const tasks = missing.length === 0 ? new Map<string, TaskView>() : await this.#store().reader.read(missing.map(([id]) => id));
    const over = missing.filter(([id]) => isTerminal(tasks.get(id)?.state ?? 'completed'));
    return {
      ended: over.flatMap(([id]) => listedIfAny(tasks.get(id))),
      removed: over.map(([id, { item }]) => ({ id, item })),
    };
  }
}

function listed(task: TaskView): Listed {
  return { item: task.item, text: JSON.stringify(taskToJson(task)) };
}

function listedIfAny(task: TaskView | undefined): Listed[] {
  return task ? [listed(task)] : [];
}
