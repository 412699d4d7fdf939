/** Enqueues that may wait for a Redis that says nothing. Each holds some kilobytes: together less than 50 MB. */
const MOST_WAITING = 2_000;
const TICK_MS = 100;
/** Ticks without any answer after which a queue counts as silent. */
const SILENT_TICKS = 10;

interface Waiting {
  count: number;
  silentTicks: number;
}

/**
 * Bounds what a producer holds of enqueues without an answer. As long as answers come there may be any number of them;
 * of a queue that has had none for a second, no more are taken once {@link MOST_WAITING} wait. By queue, for on a cluster
 * those of a dead master are silent while the others answer.
 */
export class Backlog {
  #waiting = 0;
  /** Those of each queue, and ticks of a timer, not a time: a process that was too busy to read the answers must not take that for silence. */
  readonly #queues = new Map<string, Waiting>();
  #timer: NodeJS.Timeout | null = null;

  get waiting(): number {
    return this.#waiting;
  }

  /** Whether there is no room for another one of this queue. */
  isFull(queue: string): boolean {
    return this.#waiting >= MOST_WAITING && (this.#queues.get(queue)?.silentTicks ?? 0) >= SILENT_TICKS;
  }

  /** Counts what `work` does until it is over. */
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
