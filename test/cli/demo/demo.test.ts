import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { identifyProcess } from '../../../shared/redis/process-identity.js';
import { built } from '../../support/built.js';
import { type NodeProcess, spawnNode } from '../../support/processes.js';

const LIMIT_MS = 60_000;

const DEMO = 'dist/cli/demo/main.js';

/**
 * The compiled demo, with a folder of its own for temporary files; colours off, as its output is no terminal.
 * @param main what is not about the documents of this repository is as well seen where there are few
 */
async function startDemo(
  t: TestContext,
  main: string,
  ...args: string[]
): Promise<{ demo: NodeProcess; leftFiles: () => Promise<string[]> }> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-demo-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const demo = spawnNode([main, ...args], { env: { TMPDIR: folder, REDIS_URL: 'redis://127.0.0.1:1' } });
  t.after(() => demo.stop());
  return { demo, leftFiles: () => readdir(folder) };
}

/** Every process that the demo says it has started, and the demo itself. */
function pidsOf(demo: NodeProcess): number[] {
  return [demo.pid, ...Array.from(demo.stdout.text.matchAll(/^ {2}\S.* pid (\d+)\b/gm), ([, pid]) => Number(pid))];
}

/** Those that still run. One that has ended and waits to be reaped by the system is gone. */
async function running(pids: readonly number[]): Promise<number[]> {
  const found = await Promise.all(pids.map(identifyProcess));
  return found.flatMap((process) => (process ? [process.pid] : []));
}

describe('the demo', () => {
  it('runs with --exit within 60 s, shows what became of each task, and leaves nothing behind', { timeout: LIMIT_MS }, async (t) => {
    const { demo, leftFiles } = await startDemo(t, DEMO, '--exit');
    const status = await demo.exit;
    assert.deepEqual(status, { code: 0, signal: null }, `${demo.stdout.text}\n${demo.stderr.text}`);
    assert.equal(demo.stderr.text, '');

    const row = (id: string): string => demo.stdout.lines.findLast((line) => line.startsWith(`  ${id} `)) ?? '';
    assert.match(row('TASK'), /^ {2}TASK +ITEM +WORKER +STATE +TIME +RESULT OR RECEIPT$/);
    assert.match(row('chat-tides'), /chat:tides +pid \d+ +completed +[\d.]+ m?s +120 words$/);
    assert.match(row('index-zod'), /library +pid \d+ +completed +[\d.]+ m?s +[\d,]+ documents, [\d,]+ terms$/);
    assert.match(row('chat-novel'), /cancelled +[\d.]+ m?s +cancelled via signal in [\d.]+ m?s$/);
    assert.match(row('report-deaf'), /cancelled via abandon in [\d.]+ m?s$/);
    assert.match(row('report-spin'), /cancelled via kill in [\d.]+ m?s$/);
    assert.match(row('report-delayed'), /– +cancelled +– +cancelled via queue in [\d.]+ m?s$/);
    assert.match(demo.stdout.text, /^\d+ tasks in .*: \d+ completed · 8 cancelled\. Stops settled in .* to .*\.$/m);
    assert.deepEqual(
      demo.stdout.lines.filter((line) => line.length > 100),
      [],
    );

    // Said by the demo after it has looked: what is left in its group by now, `spawnNode` has killed.
    assert.match(demo.stdout.text, /^All 5 processes have ended and the temporary folder is gone\.$/m);
    assert.equal(new Set(pidsOf(demo)).size, 6);
    assert.match(demo.stdout.text, /^ {2}dashboard +pid \d+ +http:\/\/127\.0\.0\.1:\d+$/m);
    assert.deepEqual(await running(pidsOf(demo)), []);
    assert.deepEqual(await leftFiles(), []);
  });

  it('stays up without --exit, and ends cleanly upon Ctrl+C', { timeout: LIMIT_MS }, async (t) => {
    const { demo, leftFiles } = await startDemo(t, built(DEMO));
    await demo.waitForLine(/^ {2}npx taskfleet task list/, { timeoutMs: LIMIT_MS });
    demo.kill('SIGINT');
    assert.deepEqual(await demo.exit, { code: 0, signal: null });
    assert.deepEqual(await running(pidsOf(demo)), []);
    assert.deepEqual(await leftFiles(), []);
  });

  it('ends cleanly when it is interrupted in the middle', { timeout: LIMIT_MS }, async (t) => {
    const { demo, leftFiles } = await startDemo(t, built(DEMO), '--exit');
    await demo.waitForLine(/Stopping chat-novel/, { timeoutMs: LIMIT_MS });
    demo.kill('SIGINT');
    assert.deepEqual(await demo.exit, { code: 130, signal: null });
    assert.deepEqual(await running(pidsOf(demo)), []);
    assert.deepEqual(await leftFiles(), []);
  });

  it('refuses an option that it does not have', async (t) => {
    const { demo } = await startDemo(t, built(DEMO), '--forever');
    assert.deepEqual(await demo.exit, { code: 2, signal: null });
    assert.match(demo.stderr.text, /--forever[^]*Usage: npm run demo/);
  });
});
