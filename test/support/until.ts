import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface UntilOptions {
  /** Default: 10,000. */
  readonly timeoutMs?: number;
  /** The pause between two reads in ms, for conditions that take seconds. Default: 0. */
  readonly everyMs?: number;
}

/**
 * Resolves with the first value of `read` that `holds`; reads again at once. For conditions without a signal, such as a key that
 * another connection writes.
 * @throws an error with the last value after `timeoutMs`
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
