import { inspect } from 'node:util';

export interface UntilOptions {
  /** Default: 60,000. */
  readonly timeoutMs?: number;
  /** The pause between two reads in ms. Default: none at first, then a twentieth of the wait so far, up to 20. */
  readonly everyMs?: number;
}

// Tests mock the timers.
const { setImmediate, setTimeout } = globalThis;
const LONGEST_PAUSE_MS = 20;

/**
 * Resolves with the first value of `read` that `holds`. For conditions without a signal, such as a key that
 * another connection writes.
 * @throws an error with the last value after `timeoutMs`
 */
export async function until<Value>(
  read: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
  { timeoutMs = 60_000, everyMs }: UntilOptions = {},
): Promise<Value> {
  const startedAt = performance.now();
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > timeoutMs) throw new Error(`After ${timeoutMs / 1_000} s it is still ${inspect(value)}`);
    const pauseMs = everyMs ?? Math.min(LONGEST_PAUSE_MS, waitedMs / 20);
    await new Promise<void>((resolve) => void (pauseMs < 1 ? setImmediate(resolve) : setTimeout(resolve, pauseMs)));
  }
}
