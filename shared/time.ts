/** Formats a duration for people: `8.5 ms`, `850 ms`, `12.3 s`, `4 min 05 s`. */
export function formatMs(ms: number): string {
  // At each threshold, rounding would reach the next unit.
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

/**
 * Resolves with the result of the work, or after the timeout, in ms, with that of `onLate`, which may throw. Does not cancel the work.
 */
export async function within<Value, Late>(ms: number, work: Promise<Value>, onLate: () => Late): Promise<Value | Late> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<Late>((resolve) => {
    timer = setTimeout(() => resolve(new Promise((settle) => settle(onLate()))), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until the work settles or the timeout expires, in ms. Never rejects. */
export function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  return within(
    ms,
    work.then(
      () => undefined,
      () => undefined,
    ),
    () => undefined,
  );
}

/** Exponential backoff with jitter, so that many processes do not reconnect at the same moment. */
export class BackOff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  #failures = 0;

  constructor(firstMs: number, longestMs: number) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
  }

  /** Failed attempts since the last reset. */
  get failures(): number {
    return this.#failures;
  }

  /** Counts a failure and returns the delay before the next attempt, in ms: between half the full delay and all of it. */
  next(): number {
    const full = Math.min(this.#longestMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return full * (0.5 + Math.random() / 2);
  }

  /** Starts over after a success. */
  reset(): void {
    this.#failures = 0;
  }
}
