// The task module of the scenarios: plain JavaScript, as a service would name it in TASK_MODULES.
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const kept = { ageMs: 3_600_000, count: 1_000_000 };
const retention = { completed: kept, failed: kept };

/** Waits for `ms`, heeding its signal or not, and then returns or throws. The same in scenario.ts. */
const task = defineTask({
  name: 'scenario.task',
  input: z.object({ ms: z.number().default(0), deaf: z.boolean().default(false), fails: z.boolean().default(false) }),
  retention,
});
/** Waits for ever in a worker that was started with HOLD=yes, and returns the pid of any other. */
const hold = defineTask({ name: 'scenario.hold', input: z.object({}), retention });
/** Emits and reports progress every 20 ms, each with its pid, until a file exists; its signal it only writes to the log. */
const ticker = defineTask({ name: 'scenario.ticker', input: z.object({ file: z.string() }), retention });
/** Says one word and burns CPU for ever. */
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
