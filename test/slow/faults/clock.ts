/** The machine's monotonic clock in ms: the same in every process, whatever is done to the time of day. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Milliseconds between this clock and the time of day: what Redis says in ids of streams, less this, is a time of `now`. */
export function wallOffset(): number {
  return Date.now() - now();
}

/**
 * The first value of `read` that `holds`; asks every 50 ms. For what takes longer than `until` of test/support waits.
 * @throws an error that says what was waited for, after `limitMs`
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
