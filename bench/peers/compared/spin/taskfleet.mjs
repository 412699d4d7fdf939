// The task module that a thread of the fleet's worker loads.
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../../dist/worker/index.js';
import { spin } from './spin.mjs';

const definition = defineTask({
  name: 'bench.spin',
  queue: 'bench-spin',
  input: z.object({ kind: z.literal('spin'), key: z.string(), ms: z.number(), file: z.string() }),
});

export default [defineHandler(definition, ({ input }) => spin(input.file, input.ms), { isolate: true })];
