// The task module of a worker whose output cannot be written.
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const kept = { ageMs: 3_600_000, count: 1_000 };
const retention = { completed: kept, failed: kept };

/** Writes to both outputs and to the log, and leaves an unhandled rejection whose reason is no Error. */
const noisy = defineTask({ name: 'noisy.print', input: z.object({}), retention });
/** Throws an uncaught value that is no Error, and goes on. */
const bursting = defineTask({ name: 'noisy.burst', input: z.object({}), retention });

export default [
  defineHandler(noisy, async ({ log }) => {
    console.log('to standard output');
    console.error('to standard error');
    log.warn('to the log');
    void Promise.reject(Object.create(null));
    await delay(50);
    return process.pid;
  }),
  defineHandler(bursting, async ({ signal }) => {
    setTimeout(() => {
      throw Object.create(null);
    }, 0);
    await delay(600_000, undefined, { signal });
  }),
];
