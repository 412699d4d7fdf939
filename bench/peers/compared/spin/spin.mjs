import { closeSync, openSync, writeSync } from 'node:fs';

const TICK_NS = 1_000_000n;

// JavaScript, so that threads and child processes of every peer load it without a loader.
export function spin(file, ms) {
  const descriptor = openSync(file, 'w');
  const start = process.hrtime.bigint();
  const end = start + BigInt(Math.round(ms * 1e6));
  const time = Buffer.alloc(8);
  try {
    for (let at = start, next = start; at < end; at = process.hrtime.bigint()) {
      if (at < next) continue;
      next = at + TICK_NS;
      time.writeBigInt64LE(at);
      writeSync(descriptor, time, 0, time.length, 0);
    }
  } finally {
    closeSync(descriptor);
  }
}
