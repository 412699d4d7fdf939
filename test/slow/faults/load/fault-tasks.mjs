// The task module of the workers in test/slow/faults/. Each handler notes what it does in a file of its process, below
// FAULT_LOG: `[id, run, what, ms]` a line, by the machine's monotonic clock, which all processes share.
import { openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../../dist/worker/index.js';

const TICK_MS = 50;
const kept = { ageMs: 3_600_000, count: 1_000_000 };

/** Same definition as in load-task.ts. */
const task = defineTask({
  name: 'fault.task',
  input: z.object({ kind: z.enum(['run', 'hold', 'deaf', 'retry', 'fail', 'block', 'spin']), ms: z.number() }),
  retention: { completed: kept, failed: kept },
  // Locks of two seconds expire several times in one failover, and the faults kill on purpose.
  onWorkerLost: { retries: 100 },
});

let file = null;
let runs = 0;

function note(id, run, what) {
  file ??= openSync(join(process.env.FAULT_LOG, `${process.pid}-${threadId}.log`), 'a');
  writeSync(file, `${JSON.stringify([id, run, what, Number(process.hrtime.bigint() / 1_000n) / 1_000])}\n`);
}

function burn(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

async function work({ kind, ms }, signal, tick) {
  const heeds = kind === 'deaf' ? {} : { signal };
  const end = performance.now() + (kind === 'hold' ? Infinity : ms);
  if (kind === 'block' || kind === 'spin') burn(ms);
  while (performance.now() < end) {
    await delay(Math.min(TICK_MS, end - performance.now()), undefined, heeds);
    tick();
  }
}

export default [
  defineHandler(
    task,
    async ({ id, input, signal, attempt }) => {
      const run = `${process.pid}-${threadId}-${(runs += 1)}`;
      note(id, run, 'begin');
      signal.addEventListener('abort', () => note(id, run, `abort ${signal.reason.name}`));
      try {
        await work(input, signal, () => note(id, run, 'tick'));
        if (input.kind === 'fail' || (input.kind === 'retry' && attempt === 1)) throw new Error(`attempt ${attempt} failed`);
        note(id, run, 'returned');
        return attempt;
      } catch (error) {
        note(id, run, 'threw');
        throw error;
      }
    },
    { isolate: ({ kind }) => kind === 'spin' },
  ),
];
