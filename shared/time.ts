/** Formats a duration for people: `8.5 ms`, `850 ms`, `12.3 s`, `4 min 05 s`. */
export function formatMs(ms: number): string {
  // At each threshold, rounding would reach the next unit.
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

const LONG_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** Formats how long something has lasted, in its one or two largest units: `42 s`, `4 min`, `3 h 5 min`, `2 d 4 h`. */
export function formatLong(ms: number): string {
  const largest = LONG_UNITS.findIndex(([, unitMs]) => ms >= unitMs);
  const [unit, unitMs] = LONG_UNITS[largest] ?? ['s', 1_000];
  const text = `${Math.floor(Math.max(0, ms) / unitMs)} ${unit}`;
  const [next, nextMs] = LONG_UNITS[largest + 1] ?? [unit, unitMs];
  const rest = Math.floor((ms % unitMs) / nextMs);
  return unitMs < 3_600_000 || rest === 0 ? text : `${text} ${rest} ${next}`;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Parses a duration such as `500ms`, `1.5s`, `1m`, `2h` or `1d` into ms; null if it is none. */
export function parseDuration(text: string): number | null {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  return unitMs === undefined ? null : Math.round(Number(amount) * unitMs);
}

/**
 * Resolves with the result of the work, or after the timeout, in ms, with that of `onLate`, which may throw. Does not cancel the work.
 */
export async function within<Value, Late>(ms: number, work: Promise<Value>, onLate: () => Late | Promise<Late>): Promise<Value | Late> {
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

const SLICES = 10;

/**
 * Calls back after `ms` in which the event loop turned: a block of the loop counts as at most a tenth of it. Timers run before I/O, so an
 * ordinary timer can expire at the end of a block, before the answer that has arrived meanwhile is read.
 * @returns a function that cancels
 */
export function afterTurning(ms: number, callback: () => void): () => void {
  let left = SLICES;
  const count = (): void => {
    left -= 1;
    if (left === 0) callback();
    else timer = setTimeout(count, ms / SLICES);
  };
  let timer = setTimeout(count, ms / SLICES);
  return () => clearTimeout(timer);
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

/** Returns the results of all work once all of it has ended, also if some fails. @throws the first error */
export async function allEnded<Values extends readonly unknown[]>(work: {
  readonly [Index in keyof Values]: Promise<Values[Index]>;
}): Promise<Values> {
  await Promise.allSettled(work);
  return Promise.all(work) as Promise<Values>;
}
