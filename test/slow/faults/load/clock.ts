/** Returns the machine's monotonic clock in ms, the same in every process and independent of the time of day. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Returns the offset between the time of day and this clock in ms: subtracted from the time in a stream id, it gives a time of `now`. */
export function wallOffset(): number {
  return Date.now() - now();
}

/**
 * Resolves with the first value of `read` that `holds`; reads every 50 ms. For conditions that take longer than `until` of
 * test/support waits.
 * @throws an error that names the condition, after `limitMs`
 */
export async function within<Value>(
  what: string,
  limitMs: number,
  read: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
): Promise<Value> {
  const deadline = now() + limitMs;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (now() > deadline) throw new Error(`${what}: not within ${limitMs} ms, it is still ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
