// The task module of test/slow/scenario/secrets.test.ts: handlers that try to get their input into the log.
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const keep = { ageMs: 60_000, count: 100 };
const options = { queue: 'leak', input: z.object({ text: z.string() }), retention: { completed: keep, failed: keep } };

function leak({ input, log }) {
  const error = Object.assign(new Error('refused', { cause: new Error('by somebody') }), {
    command: { name: 'set', args: [input.text] },
    input,
  });
  log.info({ input, job: { input }, error, err: error }, 'Says what it has');
  log.error(error);
  throw new Error(`Cannot work with ${input.text}`);
}

export default [
  defineHandler(defineTask({ ...options, name: 'leak.throw' }), leak),
  defineHandler(defineTask({ ...options, name: 'leak.thread' }), leak, { isolate: true }),
  defineHandler(defineTask({ ...options, name: 'leak.output', output: z.object({ n: z.number() }) }), ({ input }) => ({ n: input.text })),
  defineHandler(
    defineTask({ ...options, name: 'leak.picky', input: z.strictObject({ text: z.enum(['a', 'b']), n: z.int() }) }),
    () => null,
  ),
];
