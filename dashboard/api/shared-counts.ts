/** A count in progress, or done. */
interface Reading<Counts> {
  readonly startedAt: number;
  readonly counts: Promise<Counts>;
  /** By performance.now; Infinity while it is in progress. */
  freshUntil: number;
}

/** Shortest and longest time for which a count is used again, in ms. */
const SHORTEST_MS = 500;
const LONGEST_MS = 10_000;
/** A count is used again for this many times as long as it took, so that any number of pages keep Redis busy for a fraction of the time. */
const FACTOR = 5;
const MOST_KEPT = 200;

/** Shares counts among callers that ask for the same: each open page asks every few seconds, and a count costs what it counts. */
export class SharedCounts<Counts> {
  readonly #readings = new Map<string, Reading<Counts>>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** @param key names the filter and what the caller may see */
  read(key: string, count: () => Promise<Counts>): Promise<Counts> {
    const last = this.#readings.get(key);
    if (last && this.now() < last.freshUntil) return last.counts;
    const reading: Reading<Counts> = { startedAt: this.now(), counts: count(), freshUntil: Infinity };
    this.#readings.delete(key);
    this.#readings.set(key, reading);
    reading.counts.then(
      () => this.#keep(reading),
      () => this.#forget(key, reading),
    );
    return reading.counts;
  }

  #keep(reading: Reading<Counts>): void {
    const now = this.now();
    reading.freshUntil = now + Math.min(LONGEST_MS, Math.max(SHORTEST_MS, FACTOR * (now - reading.startedAt)));
    for (const [key, { freshUntil }] of this.#readings)
      if (freshUntil <= now || this.#readings.size > MOST_KEPT) this.#readings.delete(key);
  }

  #forget(key: string, reading: Reading<Counts>): void {
    if (this.#readings.get(key) === reading) this.#readings.delete(key);
  }
}
