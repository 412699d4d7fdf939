import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Vitals } from '../../shared/workers/status.js';

/** The part of `process` that a worker reports on. */
export type WorkerHost = Pick<NodeJS.Process, 'pid' | 'version' | 'memoryUsage'>;

/** Resolution of the event loop's delay, in ms. */
const RESOLUTION_MS = 20;
const NS_PER_MS = 1_000_000;

/** Measures the memory and the event loop of this process. */
export class VitalSigns {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  /**
   * @param memoryBytes returns the resident memory; null if unknown
   * @param threads returns the number of threads for isolated handlers
   */
  constructor(
    private readonly memoryBytes: (() => number) | null,
    private readonly threads: () => number,
  ) {}

  start(): void {
    this.#delay.enable();
  }

  stop(): void {
    this.#delay.disable();
  }

  /** Measures, and begins a new interval of the event loop's delay. */
  take(): Vitals {
    const { used_heap_size: heapBytes, heap_size_limit: heapLimitBytes } = getHeapStatistics();
    // The histogram has the time between two turns of a timer, of which the resolution is no delay.
    const p99Ms = this.#delay.count === 0 ? RESOLUTION_MS : this.#delay.percentile(99) / NS_PER_MS;
    this.#delay.reset();
    return {
      ...{ memoryBytes: this.memoryBytes?.() ?? null, heapBytes, heapLimitBytes, threads: this.threads() },
      loopDelayMs: Math.max(0, Math.round(10 * (p99Ms - RESOLUTION_MS)) / 10),
    };
  }
}
