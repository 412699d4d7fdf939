// The task module of the workers in test/scenario/: plain JavaScript, as a service would name it in TASK_MODULES.
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../dist/worker/index.js';

/** Waits for `ms`, heeding its signal or not, and then returns or throws. The same in scenario.ts. */
const task = defineTask({
  name: 'scenario.task',
  input: z.object({ ms: z.number().default(0), deaf: z.boolean().default(false), fails: z.boolean().default(false) }),
});
/** Says one word and burns CPU for ever. */
const spin = defineTask({ name: 'scenario.spin', input: z.object({}) });

export default [
  defineHandler(task, async ({ input, signal, attempt, log }) => {
    log.info(`begins, attempt ${attempt}`);
    await delay(input.ms, undefined, input.deaf ? {} : { signal });
    if (input.fails) throw new Error(`attempt ${attempt} failed`);
    return attempt;
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
