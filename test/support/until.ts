import { inspect } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';

export interface UntilOptions {
  /** Default: 10,000. */
  readonly timeoutMs?: number;
  /** The pause between two questions, for what takes seconds. Default: 0. */
  readonly everyMs?: number;
}

/**
 * Resolves with the first value of `read` that `holds`; asks again as soon as it has answered. For what sends no signal:
 * a key that another connection writes.
 * @throws an error with the last value, when the time is over
 */
export async function until<Value>(
  read: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
  { timeoutMs = 10_000, everyMs = 0 }: UntilOptions = {},
): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > deadline) throw new Error(`After ${timeoutMs / 1_000} s it is still ${inspect(value)}`);
    await (everyMs === 0 ? new Promise(setImmediate) : delay(everyMs));
  }
}
