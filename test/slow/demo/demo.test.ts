import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { built } from '../../support/process/built.js';
import { type NodeProcess, isAlive, spawnNode } from '../../support/process/processes.js';

const LIMIT_MS = 450_000;

/** Starts the demo with its own folder for temporary files. A REDIS_URL of the environment must not matter. */
async function startDemo(t: TestContext, main: string, ...args: string[]): Promise<{ demo: NodeProcess; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-demo-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const demo = spawnNode([main, ...args], { env: { TMPDIR: folder, REDIS_URL: 'redis://127.0.0.1:1' } });
  t.after(() => demo.stop());
  return { demo, folder };
}

/** Asserts that no process of the fleet and no file is left. */
async function assertNothingLeft(demo: NodeProcess, folder: string): Promise<void> {
  const pids = Array.from(demo.stdout.text.matchAll(/\bpid (\d+)/g), ([, pid]) => Number(pid));
  assert.ok(new Set(pids).size >= 2, demo.stdout.text);
  assert.deepEqual(pids.filter(isAlive), []);
  assert.deepEqual(await readdir(folder), []);
}

describe('the demo', () => {
  it('runs with --exit, prints what held and leaves nothing behind', { timeout: LIMIT_MS }, async (t) => {
    // Not `built`: the batch indexes the packages beside it.
    const { demo, folder } = await startDemo(t, 'dist/cli/demo/main.js', '--exit');
    assert.deepEqual(await demo.exit, { code: 0, signal: null }, `${demo.stdout.text}\n${demo.stderr.text}`);
    assert.equal(demo.stderr.text, '');
    const { text, lines } = demo.stdout;
    assert.match(text, /^ {2}chat-novel +cancelled in \d+ ms: its handler heeded the signal$/m);
    assert.match(text, /^ {2}report-deaf +cancelled in \d+ ms: it ignored its signal and was abandoned after the grace period$/m);
    assert.match(text, /^ {2}report-spin +cancelled in \d+ ms: it blocked its thread, which was terminated$/m);
    assert.match(text, /^ {2}report-scheduled +cancelled in \d+ ms: it had not started$/m);
    assert.match(text, /^ {2}crew-1 +completed on the worker with pid \d+$/m);
    assert.match(text, /^ {2}✓ the batch completed: 40 tasks, [1-9]\d* documents indexed$/m);
    assert.match(text, /^ {2}✓ the pages at http:\/\/127\.0\.0\.1:\d+ answer with 200$/m);
    assert.equal(lines.filter((line) => line.startsWith('  ✓ ')).length, 8);
    assert.doesNotMatch(text, /✗|The demo failed|^ {2}\S+ +failed/m);
    await assertNothingLeft(demo, folder);
  });

  it('stays up without --exit until Ctrl+C', { timeout: LIMIT_MS }, async (t) => {
    const { demo, folder } = await startDemo(t, 'dist/cli/demo/main.js');
    await demo.waitForLine(/^ {2}npx taskfleet task list/, { timeoutMs: LIMIT_MS });
    demo.kill('SIGINT');
    assert.deepEqual(await demo.exit, { code: 0, signal: null });
    await assertNothingLeft(demo, folder);
  });

  it('ends cleanly when it is interrupted in the middle', { timeout: LIMIT_MS }, async (t) => {
    const { demo, folder } = await startDemo(t, built('dist/cli/demo/main.js'), '--exit');
    await demo.waitForLine(/Stop chat-novel/, { timeoutMs: LIMIT_MS });
    demo.kill('SIGINT');
    assert.deepEqual(await demo.exit, { code: 130, signal: null });
    await assertNothingLeft(demo, folder);
  });

  it('refuses an unknown option', async (t) => {
    const { demo } = await startDemo(t, built('dist/cli/demo/main.js'), '--forever');
    assert.deepEqual(await demo.exit, { code: 2, signal: null });
    assert.match(demo.stderr.text, /--forever[^]*Usage: npm run demo/);
  });
});
