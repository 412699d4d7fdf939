// The task module of the scenarios: plain JavaScript, as in the TASK_MODULES of a service.
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const kept = { ageMs: 3_600_000, count: 1_000_000 };
const retention = { completed: kept, failed: kept };

/** Waits for `ms`, heeding its signal or not, then returns or throws. Same definition as in scenario.ts. */
const task = defineTask({
  name: 'scenario.task',
  input: z.object({ ms: z.number().default(0), deaf: z.boolean().default(false), fails: z.boolean().default(false) }),
  retention,
});
/** Waits forever in a worker with HOLD=yes; returns the pid of any other worker. */
const hold = defineTask({ name: 'scenario.hold', input: z.object({}), retention });
/** Emits a chunk and progress with its pid every 20 ms until a file exists; only logs its signal. */
const ticker = defineTask({ name: 'scenario.ticker', input: z.object({ file: z.string() }), retention });
/** Emits one word, then blocks its thread forever. */
const spin = defineTask({ name: 'scenario.spin', input: z.object({}), retention });

export default [
  defineHandler(task, async ({ input, signal, attempt, log }) => {
    log.info(`begins, attempt ${attempt}`);
    await delay(input.ms, undefined, input.deaf ? {} : { signal });
    if (input.fails) throw new Error(`attempt ${attempt} failed`);
    return attempt;
  }),
  defineHandler(hold, async ({ signal, attempt, log }) => {
    log.info(`begins, attempt ${attempt}`);
    if (process.env.HOLD === 'yes') await delay(600_000, undefined, { signal });
    return process.pid;
  }),
  defineHandler(ticker, async ({ input, signal, attempt, log, emit, progress }) => {
    log.info(`begins, attempt ${attempt}`);
    signal.addEventListener('abort', () => log.info(`is aborted with ${signal.reason.name}`));
    for (let tick = 1; tick === 1 || !existsSync(input.file); tick += 1) {
      emit({ pid: process.pid, tick });
      progress({ pid: process.pid, tick });
      await delay(20);
    }
    return process.pid;
  }),
  defineHandler(
    spin,
    ({ emit }) => {
      emit('spinning');
      for (;;);
    },
    { isolate: true },
  ),
];
