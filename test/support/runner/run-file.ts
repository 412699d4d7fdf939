import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, after, before, beforeEach, describe } from 'node:test';

export interface Limits {
  /** For one test. A test's own `timeout` is gentler, because its hooks still run; this limit ends a hang of tests without one. */
  readonly testMs: number;
  /** From the start of a file to its first test: imports and `before` hooks, which may start a cluster or install a package. */
  readonly startMs: number;
  /** Between two tests, and after the last one: for hooks, and for the process to end. */
  readonly idleMs: number;
}

const LIMITS: Limits = { testMs: 900_000, startMs: 600_000, idleMs: 240_000 };
// Tests mock the timers.
const { Date, setTimeout, setInterval, setImmediate, clearTimeout } = globalThis;
const { now } = Date;
/** In the claim of a file whose last hook has ended. */
const DONE = 'done';
const running = new Set<NodeJS.Timeout>();
let idle: NodeJS.Timeout | undefined;

/**
 * Runs the test files that no other process of this run has taken, one after the other. Resolves when none is left.
 * @param files each with its import, which declares its tests
 * @param claims folder that the processes of this run share: a file there for each test file that one of them has taken
 */
export async function runFiles(
  files: Readonly<Record<string, () => Promise<unknown>>>,
  claims: string,
  { limits = LIMITS, order = 'forwards' }: { limits?: Limits; order?: 'forwards' | 'backwards' } = {},
): Promise<void> {
  const entries = Object.entries(files);
  for (const [path, load] of order === 'forwards' ? entries : entries.toReversed()) {
    const claim = claimOf(claims, path);
    try {
      writeFileSync(claim, '', { flag: 'wx' });
    } catch {
      continue;
    }
    await runFile(path, load, limits);
    writeFileSync(claim, DONE);
  }
}

/** Returns what became of a test file. */
export function stateOf(path: string, claims: string): 'done' | 'begun' | 'not begun' {
  const claim = claimOf(claims, path);
  if (!existsSync(claim)) return 'not begun';
  return readFileSync(claim, 'utf8') === DONE ? 'done' : 'begun';
}

function claimOf(claims: string, path: string): string {
  return join(claims, path.replaceAll('/', '+'));
}

/**
 * Runs one test file as a suite named after it, so that its hooks are its own; resolves when the last of them has ended.
 * Ends the process, and names the file, if a test or a hook hangs.
 */
function runFile(path: string, load: () => Promise<unknown>, { testMs, startMs, idleMs }: Limits): Promise<void> {
  return describe(path, async () => {
    before(() => expectTest(startMs, `${path} has started no test`));
    beforeEach((context) => {
      // Not before the first test: it must come after node:test's own handlers.
      if (!process.listeners('exit').includes(leaveAtOnce)) process.on('exit', leaveAtOnce);
      clearTimeout(idle);
      const timer = endAfter(testMs, `The test "${context.name}" of ${path} did not end`);
      running.add(timer);
      // Unlike an afterEach hook, this one runs for a test that skips itself.
      (context as TestContext).after(() => {
        clearTimeout(timer);
        running.delete(timer);
        if (running.size === 0) expectTest(idleMs, `${path} has started no further test, and its process has not ended,`);
      });
    });
    expectTest(startMs, `${path} has started no test`);
    await load();
    // Declared last, and so run after the hooks of the file, which may restore the clock.
    after(() => assert.deepEqual(mocked(), [], `${path} has left mocks to the files that its process runs next`));
  });
}

/** Names the parts of the clock that a test has replaced. */
function mocked(): string[] {
  const clock = { Date, setTimeout, setInterval, setImmediate };
  const names = Object.entries(clock).flatMap(([name, real]) => (Reflect.get(globalThis, name) === real ? [] : [name]));
  return Date.now === now ? names : [...names, 'Date.now'];
}

/**
 * Skips Node's own clean-up after the exit handlers: Node 20 may wait there for ever, and busily, for a socket that was
 * reset (RST) while data was in flight.
 */
function leaveAtOnce(code: number): void {
  (process as unknown as { reallyExit(code: number): never }).reallyExit(code);
}

function expectTest(limitMs: number, message: string): void {
  clearTimeout(idle);
  idle = endAfter(limitMs, message);
}

/** Unless the timer is cleared. */
function endAfter(limitMs: number, message: string): NodeJS.Timeout {
  const timer = setTimeout(() => {
    console.error(`${message} within ${limitMs / 1_000} s; ending its process.`);
    // Not a signal: exit handlers end the processes that a test has started, and report the tests that did not end.
    process.exit(1);
  }, limitMs);
  return timer.unref();
}
