/**
 * Loaded before each test file by test/run.ts: ends the file's process if one of its tests takes too long, and says which;
 * and if it does not end by itself after its last test.
 * A test's own `timeout` is gentler, as its hooks still run; this is for the tests that have none. (Node's own default,
 * `--test-timeout`, applies to whole files on Node 20.)
 *
 * Not TypeScript: threads are started with the same options and load this too, and there is no loader for it there.
 */
import { afterEach, beforeEach } from 'node:test';
import { isMainThread } from 'node:worker_threads';

const LIMIT_MS = 120_000;
/** Between two tests, and after the last: for hooks, and for what a test has left behind to end by itself. */
const IDLE_LIMIT_MS = 30_000;

// Processes that a test forks load this as well.
if (isMainThread && process.argv[1]?.endsWith('.test.js')) {
  // Kept from tests that mock the timers.
  const { setTimeout, clearTimeout } = globalThis;
  const timers = new WeakMap();
  let idle;
  let first = true;

  beforeEach((context) => {
    // Not before the first test, so that it comes after what node:test itself does at the end. Without it, Node 20 may wait
    // for ever, and busily, in its own clean-up, for a socket that was reset (RST) while something was on its way.
    if (first) process.on('exit', (code) => process.reallyExit(code));
    first = false;
    clearTimeout(idle);
    const timer = setTimeout(() => {
      console.error(`The test "${context.name}" did not end within ${LIMIT_MS / 1_000} s.`);
      // Not a signal: exit handlers are what ends the processes that a test has started.
      process.exit(1);
    }, LIMIT_MS);
    timers.set(context, timer.unref());
  });
  afterEach((context) => {
    clearTimeout(timers.get(context));
    clearTimeout(idle);
    idle = setTimeout(() => {
      console.error(`No test has begun for ${IDLE_LIMIT_MS / 1_000} s, and the process does not end by itself: it is ended.`);
      // Not as if all were well: a hook of the last test may hang, and then that test was never reported.
      process.exit(1);
    }, IDLE_LIMIT_MS);
    idle.unref();
  });
}
