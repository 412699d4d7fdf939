// Tasks that end their process in ways that leave different last words.
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../../dist/worker/index.js';

const never = () => new Promise(() => undefined);
const handler = (name, handle) => defineHandler(defineTask({ name, input: z.any(), onWorkerLost: { retries: 0 } }), handle);

export default [
  handler('faulty.throws', () => {
    setTimeout(() => {
      throw new Error('nobody catches this');
    }, 0);
    return never();
  }),
  handler('faulty.spins', async () => {
    for (;;) await Promise.resolve();
  }),
  handler('faulty.waits', never),
];
