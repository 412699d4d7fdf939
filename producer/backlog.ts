/** Maximum enqueues that wait for an unresponsive Redis. At a few kilobytes each, they hold less than 50 MB. */
const MOST_WAITING = 2_000;
const TICK_MS = 100;
/** Ticks without a reply after which a queue counts as silent. */
const SILENT_TICKS = 10;

interface Waiting {
  count: number;
  silentTicks: number;
}

/**
 * Limits the pending enqueues of a producer. While replies arrive there is no limit; a queue without a reply for a second
 * accepts no more once {@link MOST_WAITING} are pending. Silence is tracked for each queue, because on a cluster one master may be
 * dead while the others reply.
 */
export class Backlog {
  #waiting = 0;
  /** Counts ticks rather than time, so that a process too busy to read replies does not mistake that for silence. */
  readonly #queues = new Map<string, Waiting>();
  #timer: NodeJS.Timeout | null = null;

  get waiting(): number {
    return this.#waiting;
  }

  /** Returns whether the queue accepts no more enqueues. */
  isFull(queue: string): boolean {
    return this.#waiting >= MOST_WAITING && (this.#queues.get(queue)?.silentTicks ?? 0) >= SILENT_TICKS;
  }

  /** Counts `work` as pending until it settles. */
  async hold<Value>(queue: string, work: () => Promise<Value>): Promise<Value> {
    const waiting = this.#enter(queue);
    try {
      const value = await work();
      waiting.silentTicks = 0;
      return value;
    } finally {
      this.#leave(queue, waiting);
    }
  }

  #enter(queue: string): Waiting {
    let waiting = this.#queues.get(queue);
    if (!waiting) this.#queues.set(queue, (waiting = { count: 0, silentTicks: 0 }));
    waiting.count += 1;
    this.#waiting += 1;
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
    return waiting;
  }

  #leave(queue: string, waiting: Waiting): void {
    waiting.count -= 1;
    this.#waiting -= 1;
    if (waiting.count === 0) this.#queues.delete(queue);
    if (this.#waiting > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    for (const waiting of this.#queues.values()) waiting.silentTicks += 1;
  }
}
