import { readFileSync } from 'node:fs';

/** Returns the machine's monotonic clock in ms, which all processes share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Returns the last time that a spin wrote to its file, in ms of the same clock; null before the first. */
export function lastTick(file: string): number | null {
  try {
    const bytes = readFileSync(file);
    return bytes.length < 8 ? null : Number(bytes.readBigInt64LE()) / 1e6;
  } catch {
    return null;
  }
}
