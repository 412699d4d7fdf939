/** How fast a worker settles stops, in ms. The figures are of the last 1,000 stops and null before the first. */
export interface StopLatencySummary {
  /** All stops since the worker started. */
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** How many latencies are kept. */
const KEPT = 1_000;

/** The last 1,000 latencies of stops, from the moment when a stop was recorded to the end of its job. */
export class StopLatency {
  /** A ring: once it is full, each new one takes the place of the oldest. */
  readonly #latest: number[] = [];
  #count = 0;

  /** Clocks that disagree may give less than nothing: that counts as 0. */
  record(ms: number): void {
    this.#latest[this.#count % KEPT] = Math.max(0, ms);
    this.#count += 1;
  }

  /** Percentiles by nearest rank: the smallest latency that as many percent do not exceed. */
  summary(): StopLatencySummary {
    const sorted = this.#latest.toSorted((a, b) => a - b);
    const at = (percent: number): number | null => sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? null;
    return { count: this.#count, p50Ms: at(50), p99Ms: at(99), maxMs: at(100) };
  }
}
