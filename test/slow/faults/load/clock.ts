/** Returns the machine's monotonic clock in ms, the same in every process and independent of the time of day. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

/** Returns the offset between the time of day and this clock in ms: subtracted from the time in a stream id, it gives a time of `now`. */
export function wallOffset(): number {
  return Date.now() - now();
}

export interface Patience {
  /** The longest time without a change of the value, in ms. */
  readonly idleMs: number;
  /** The longest time in total, in ms. Default: 300,000. */
  readonly limitMs?: number;
}

const TOTAL_LIMIT_MS = 300_000;
const PAUSE_MS = 50;

/**
 * Resolves with the first value of `read` that `holds`; reads every 50 ms. For conditions that a slow machine reaches slowly: a value that
 * changes shows that it is on its way.
 * @throws an error that names the condition, once the value has stayed the same for `idleMs`, or after `limitMs`
 */
export async function whileMoving<Value>(
  what: string,
  { idleMs, limitMs = TOTAL_LIMIT_MS }: Patience,
  read: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
): Promise<Value> {
  const beganAt = now();
  let [last, movedAt] = ['', beganAt];
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    const shown = JSON.stringify(value);
    const at = now();
    if (shown !== last) [last, movedAt] = [shown, at];
    if (at - movedAt > idleMs) throw new Error(`${what}: nothing moved for ${idleMs} ms, it is still ${shown}`);
    if (at - beganAt > limitMs) throw new Error(`${what}: not within ${limitMs} ms, it is ${shown}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
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
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
