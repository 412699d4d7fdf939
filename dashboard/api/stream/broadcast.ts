export interface BroadcastLimits {
  /** Entries kept at the most. */
  readonly entries: number;
  /** Sum of their sizes at the most. */
  readonly size: number;
}

interface Kept<Entry> {
  readonly entry: Entry;
  readonly size: number;
}

/**
 * Passes entries on to any number of readers. Each reads at its own pace, by number; only so much is kept, and who falls
 * behind that misses some, and is told so. So a slow reader costs nothing.
 */
export class Broadcast<Entry> {
  readonly #limits: BroadcastLimits;
  readonly #kept: Kept<Entry>[] = [];
  readonly #waiting = new Set<() => void>();
  /** Number of the oldest that is kept. */
  #first = 0;
  #size = 0;
  #ended = false;

  constructor(limits: BroadcastLimits) {
    this.#limits = limits;
  }

  /** Number of the next entry. */
  get next(): number {
    return this.#first + this.#kept.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(entry: Entry, size = 1): void {
    this.#kept.push({ entry, size });
    this.#size += size;
    while (this.#kept.length > 1 && (this.#kept.length > this.#limits.entries || this.#size > this.#limits.size)) {
      this.#size -= this.#kept.shift()?.size ?? 0;
      this.#first += 1;
    }
    this.#wake();
  }

  /** Nothing will follow. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The entries from this number on, of this size together or the first alone; null if some of them are no longer kept. */
  from(number: number, size: number): Entry[] | null {
    if (number < this.#first) return null;
    const entries: Entry[] = [];
    let total = 0;
    for (const kept of this.#kept.slice(number - this.#first)) {
      total += kept.size;
      if (entries.length > 0 && total > size) break;
      entries.push(kept.entry);
    }
    return entries;
  }

  /** Resolves when there is something from this number on, when nothing will follow, or when the signal is aborted. */
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
