// The task module of these tests: plain JavaScript, as the compiled worker loads it.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const input = z.strictObject({});
const kept = { ageMs: 3_600_000, count: 10_000 };
const retention = { completed: kept, failed: kept };

/** Emits progress and output, then waits to be stopped. */
const talk = defineHandler(defineTask({ name: 'test.talk', input, retention }), async ({ signal, emit, progress }) => {
  progress(40);
  emit('Hello, ');
  emit('world');
  emit({ n: 1 });
  emit('waiting\n');
  if (!signal.aborted) await once(signal, 'abort');
  signal.throwIfAborted();
});

/** Emits output until it is stopped. */
const chatter = defineHandler(defineTask({ name: 'test.chatter', input, retention }), async ({ signal, emit }) => {
  for (;;) {
    emit('blah\n');
    await sleep(5, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
});

/** Fails once, in the middle of a line. */
const flaky = defineHandler(
  defineTask({ name: 'test.flaky', input, retention, retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } }),
  ({ attempt, emit }) => {
    emit(`attempt ${attempt}`);
    if (attempt === 1) throw new Error('not yet');
    return { attempt };
  },
);

const fail = defineHandler(defineTask({ name: 'test.fail', input, retention }), () => {
  throw new Error('this never works\nnot even on the second line');
});

/** Throws an exception that cannot be caught. */
const crash = defineHandler(defineTask({ name: 'test.crash', input, retention }), async () => {
  setImmediate(() => {
    throw new Error('thrown into the void');
  });
  await sleep(20);
  return null;
});

export default [talk, chatter, flaky, fail, crash];
