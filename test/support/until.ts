import { inspect } from 'node:util';

/**
 * Resolves with the first value of `read` that `holds`; asks again as soon as it has answered. For what sends no signal:
 * a key that another connection writes.
 * @throws an error with the last value, after 10 s
 */
export async function until<Value>(read: () => Promise<Value> | Value, holds: (value: Value) => boolean): Promise<Value> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > deadline) throw new Error(`After 10 s it is still ${inspect(value)}`);
    await new Promise(setImmediate);
  }
}
