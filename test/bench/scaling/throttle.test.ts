import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Throttle } from '../../../bench/scaling/throttle.js';

/** A process that answers each line. */
function echo(): ChildProcess {
  return spawn(process.execPath, ['-e', 'process.stdin.pipe(process.stdout)'], { stdio: ['pipe', 'pipe', 'inherit'] });
}

async function ask(child: ChildProcess): Promise<string> {
  const answer = once(child.stdout as NodeJS.ReadableStream, 'data');
  child.stdin?.write('hello\n');
  return String((await answer)[0]);
}

describe('A throttled process', () => {
  it('runs for part of the time, and freely afterwards', async (t) => {
    const child = echo();
    t.after(() => child.kill('SIGKILL'));
    await ask(child);
    const throttle = new Throttle([child.pid as number], 0.25);
    await delay(100);
    assert.equal(await ask(child), 'hello\n');
    assert.ok(throttle.allowed > 0 && throttle.allowed < 1, `allowed ${throttle.allowed}`);
    await throttle.stop();
    assert.equal(await ask(child), 'hello\n');
  });

  it('is not touched with a whole core', async () => {
    const throttle = new Throttle([], 1);
    assert.equal(throttle.allowed, 1);
    await throttle.stop();
  });
});
