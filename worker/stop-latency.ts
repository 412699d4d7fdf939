/** How fast a worker settles stops, in ms, over the last 1,000 stops; null before the first. */
export interface StopLatencySummary {
  /** All stops since the worker's start. */
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
}

/** Number of latencies kept. */
const KEPT = 1_000;

/** The last 1,000 stop latencies, from the record of a stop to the end of its job. */
export class StopLatency {
  /** A ring buffer. */
  readonly #latest: number[] = [];
  #count = 0;

  /** Adds a latency; a negative one, from clocks that disagree, counts as 0. */
  record(ms: number): void {
    this.#latest[this.#count % KEPT] = Math.max(0, ms);
    this.#count += 1;
  }

  /** Computes percentiles by nearest rank. */
  summary(): StopLatencySummary {
    const sorted = this.#latest.toSorted((a, b) => a - b);
    const at = (percent: number): number | null => sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? null;
    return { count: this.#count, p50Ms: at(50), p99Ms: at(99), maxMs: at(100) };
  }
}
