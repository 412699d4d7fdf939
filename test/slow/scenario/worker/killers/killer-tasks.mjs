// The killers, and innocent tasks beside them. Each call adds a line to the file RUNS, outside Redis: name, id, pid, thread.
import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../../../dist/worker/index.js';

const killers = {
  exits: () => process.exit(1),
  grows: () => {
    for (const all = []; ;) all.push(Array.from({ length: 1_000 }, () => ({})));
  },
  spins: async () => {
    for (;;) await Promise.resolve();
  },
};

const handler = (name, retries, handle) =>
  defineHandler(defineTask({ name, input: z.any(), onWorkerLost: { retries } }), (context) => {
    appendFileSync(process.env.RUNS, `${name} ${context.id} ${process.pid} ${isMainThread ? 'main' : 'thread'}\n`);
    return handle(context);
  });

export const handlers = [
  ...Object.entries(killers).flatMap(([kind, kill]) => [0, 1, 3].map((retries) => handler(`kill.${kind}-${retries}`, retries, kill))),
  handler('kill.innocent', 3, ({ input, signal }) => delay(input.ms, undefined, { signal })),
  handler('kill.once', 0, ({ input }) => delay(input.ms)),
];
export default handlers;
