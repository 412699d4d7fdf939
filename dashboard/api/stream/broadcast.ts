interface BroadcastLimits {
  /** Maximum number of buffered entries. */
  readonly entries: number;
  /** Maximum total size of buffered entries. */
  readonly size: number;
}

interface Buffered<Entry> {
  readonly entry: Entry;
  readonly size: number;
}

/**
 * Broadcasts entries to any number of readers, each reading by number at its own pace. The buffer is bounded: a reader that falls
 * behind learns that it missed entries, and costs nothing.
 */
export class Broadcast<Entry> {
  readonly #buffer: Buffered<Entry>[] = [];
  readonly #waiting = new Set<() => void>();
  /** Number of the oldest buffered entry. */
  #first = 0;
  #size = 0;
  #ended = false;

  constructor(private readonly limits: BroadcastLimits) {}

  /** The number of the next entry. */
  get next(): number {
    return this.#first + this.#buffer.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(entry: Entry, size = 1): void {
    this.#buffer.push({ entry, size });
    this.#size += size;
    while (this.#buffer.length > 1 && (this.#buffer.length > this.limits.entries || this.#size > this.limits.size)) {
      this.#size -= this.#buffer.shift()?.size ?? 0;
      this.#first += 1;
    }
    this.#wake();
  }

  /** Ends the broadcast. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Returns the entries from this number on, up to the total size but at least one; null if some are no longer buffered. */
  from(number: number, size: number): Entry[] | null {
    if (number < this.#first) return null;
    const entries: Entry[] = [];
    let total = 0;
    for (const buffered of this.#buffer.slice(number - this.#first)) {
      total += buffered.size;
      if (entries.length > 0 && total > size) break;
      entries.push(buffered.entry);
    }
    return entries;
  }

  /** Waits for an entry with at least this number, the end, or the abort of the signal. */
  more(number: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
      if (signal.aborted || this.#ended || number < this.next) wake();
    });
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** Runs work requested by concurrent callers once. */
export class SingleFlight {
  readonly #pending = new Map<string, Promise<unknown>>();

  /** Resolves with the result of `work`; concurrent calls with the same name share it. */
  async ask<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    const pending = this.#pending.get(name) as Promise<Value> | undefined;
    if (pending) return pending;
    const started = work();
    this.#pending.set(name, started);
    try {
      return await started;
    } finally {
      this.#pending.delete(name);
    }
  }
}
