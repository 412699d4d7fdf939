import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { type Producer, createProducer } from '../../../producer/index.js';
import { findRunningEmbeddedRedis } from '../../../shared/embedded-redis/embedded.js';
import { defineTask } from '../../../shared/task/definition.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { built } from '../../support/process/built.js';
import { COMMAND, runCommand, startCommand } from '../../support/process/command.js';
import { ownPort } from '../../support/process/ports.js';
import { NodeProcess } from '../../support/process/processes.js';
import { runCli } from '../../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { KEEP } from '../../support/task/keep.js';

const HAS_SCRIPT = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') ?? false;

describe('taskfleet worker', () => {
  let folder: string;
  let redis: TestRedis;
  let producer: Producer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-worker-'));
    redis = await startTestRedis();
    producer = createProducer({ redisUrl: redis.url });
  });
  after(async () => {
    await producer.close();
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function startWorker(env: Record<string, string>): Promise<NodeProcess> {
    const worker = startCommand(['worker'], { cwd: folder, env });
    await worker.waitForLine(/Worker is ready/);
    return worker;
  }

  async function enqueueRunning(id: string): Promise<void> {
    await producer.enqueue(fleetCanary, { run_ms: 60_000, mode: 'deaf' }, { id });
    for await (const event of producer.events(id)) if (event.type === 'state' && event.state === 'running') return;
  }

  it('logs JSON lines to standard error only, and exits cleanly on SIGTERM', async () => {
    const worker = await startWorker({ REDIS_URL: redis.url });
    assert.deepEqual(await worker.stop(), { code: 0, signal: null });
    assert.equal(worker.stdout.text, '');
    for (const line of worker.stderr.lines) assert.equal((JSON.parse(line) as { component: string }).component, 'worker', line);
  });

  it('logs readable lines on a terminal', { skip: !HAS_SCRIPT && 'this machine has no script(1) of util-linux' }, async () => {
    // A worker that exits after its first line.
    const env = { PATH: process.env['PATH'], REDIS_URL: redis.url, TASK_MODULES: './missing.js' };
    const args = ['-qec', `'${process.execPath}' '${COMMAND}' worker`, '/dev/null'];
    const worker = new NodeProcess(
      spawn('script', args, { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] }),
      'script',
    );
    await worker.exit;
    assert.match(worker.stdout.text, /\[[\d:.]+\].*INFO.*: .*Worker starting/);
  });

  it('waits for its tasks on SIGINT, and exits at once on a second one', async () => {
    const worker = await startWorker({ REDIS_URL: redis.url });
    await enqueueRunning('deaf');
    worker.kill('SIGINT');
    await worker.waitForLine(/Shutting down/);
    worker.kill('SIGINT');
    assert.deepEqual(await worker.exit, { code: 130, signal: null });
    await producer.stop('deaf');
  });

  it('exits with code 70 after an uncaught exception', async () => {
    const worker = await startWorker({ REDIS_URL: redis.url, TASK_MODULES: built('test/cli/commands/tasks.mjs') });
    await producer.enqueue(defineTask({ name: 'test.crash', input: z.strictObject({}), retention: KEEP }), {}, { id: 'crash' });
    assert.deepEqual(await worker.exit, { code: 70, signal: null });
    assert.match(worker.stderr.text, /thrown into the void/);
    assert.equal((await producer.get('crash'))?.state, 'completed');
  });

  it('exits with code 78 if a task module cannot be loaded', async () => {
    const { code, stderr } = await runCommand(['worker'], { cwd: folder, env: { REDIS_URL: redis.url, TASK_MODULES: './missing.js' } });
    assert.equal(code, 78);
    assert.match(stderr, /^taskfleet: Task module file:.*missing\.js: /m);
  });

  it('without REDIS_URL starts the embedded Redis of its folder, and stops it on exit', async () => {
    const worker = await startWorker({ EMBEDDED_REDIS_PORT: String(await ownPort()) });
    const dir = join(folder, '.taskfleet/redis');
    assert.notEqual(await findRunningEmbeddedRedis(dir), null);
    const { code, stdout } = await runCli(['task', 'list', '-o', 'json'], { cwd: folder });
    assert.deepEqual([code, stdout], [0, '[]']);
    assert.deepEqual(await worker.stop(), { code: 0, signal: null });
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });
});
