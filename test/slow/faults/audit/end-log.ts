import type { Store } from '../../../../shared/store.js';
import { wallOffset } from '../load/clock.js';
import { loadTask } from '../load/load-task.js';

/** The end of a task according to the queue's events. */
export interface End {
  readonly event: 'completed' | 'failed';
  /** The time by Redis's clock, converted to `now`. */
  readonly at: number;
}

const KEPT = 1_000_000;
const READ_AT_ONCE = 1_000;
const POLL_MS = 200;

/** Follows the events of the load's queue: BullMQ's scripts write one with each end. */
export class EndLog {
  /** All ends of each task. */
  readonly ends = new Map<string, End[]>();
  /** Whether events were trimmed, or lost with the server's data, before they could be read. */
  gap = false;
  readonly #store: Store;
  #last = '0-0';
  #closed = false;
  #reading: Promise<void> = Promise.resolve();
  #running: Promise<void> | null = null;

  /** @param keeps whether the queue keeps more events than by BullMQ's default; default true */
  constructor(
    store: Store,
    private readonly keeps = true,
  ) {
    this.#store = store;
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      await this.read().catch(() => undefined); // Redis is down; the next read goes on from the same place
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Reads new events. Calls are serialized: two at once would read the same events. */
  read(): Promise<void> {
    const read = this.#reading.then(() => this.#read());
    this.#reading = read.catch(() => undefined);
    return read;
  }

  async #read(): Promise<void> {
    const { redis, keys } = this.#store;
    const key = `${keys.jobs(loadTask.queue)}events`;
    // BullMQ keeps 10,000 events, fewer than a burst of the load writes; each new process resets the limit.
    if (this.keeps) await redis.hset(`${keys.jobs(loadTask.queue)}meta`, 'opts.maxLenEvents', KEPT).catch(() => 0);
    for (;;) {
      const [entries, [oldest]] = await Promise.all([
        redis.xrange(key, `(${this.#last}`, '+', 'COUNT', READ_AT_ONCE),
        redis.xrange(key, '-', '+', 'COUNT', 1),
      ]);
      if (oldest && this.#last !== '0-0' && isAfter(oldest[0], this.#last)) this.gap = true;
      for (const [id, fields] of entries) this.#take(id, fields);
      if (entries.length < READ_AT_ONCE) return;
    }
  }

  #take(streamId: string, fields: readonly string[]): void {
    this.#last = streamId;
    const field = (name: string): string | undefined => fields[fields.indexOf(name) + 1];
    const event = field('event');
    const id = field('jobId');
    if ((event !== 'completed' && event !== 'failed') || id === undefined) return;
    const at = Number(streamId.split('-')[0]) - wallOffset();
    this.ends.set(id, [...(this.ends.get(id) ?? []), { event, at }]);
  }
}

function isAfter(one: string, other: string): boolean {
  const [[ms = 0, count = 0], [otherMs = 0, otherCount = 0]] = [one, other].map((id) => id.split('-').map(Number)) as [number[], number[]];
  return ms > otherMs || (ms === otherMs && count > otherCount);
}
