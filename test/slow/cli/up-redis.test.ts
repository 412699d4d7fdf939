import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { identifyProcess } from '../../../shared/embedded-redis/process-identity.js';
import { startCommand } from '../../support/process/command.js';
import { onFreePort, ownPort } from '../../support/process/ports.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { forget, reapAtExit } from '../../support/process/reaper.js';
import { runCli } from '../../support/process/run-cli.js';
import { until } from '../../support/until.js';

describe('the Redis of taskfleet up', () => {
  let folder: string;
  let env: Record<string, string>;
  let up: NodeProcess;

  beforeEach(async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-up-redis-')));
    env = { EMBEDDED_REDIS_PORT: String(await ownPort()), API_PORT: '0' };
  });
  afterEach(async () => {
    await up.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function redis(): Promise<{ pid: number; port: number }> {
    const state = JSON.parse(await readFile(join(folder, '.taskfleet/redis/server.json'), 'utf8')) as { pid: number; port: number };
    reapAtExit(state.pid);
    return state;
  }

  function lineOf(pattern: RegExp): Promise<string> {
    return up.waitForLine(pattern, { stream: 'stderr' }).then(({ groups }) => groups?.['value'] ?? '');
  }

  /** Waits until Redis has written its append-only file: while it syncs the file, it puts off writes for up to two seconds. */
  async function untilInFile(port: number): Promise<void> {
    const client = new Redis(port);
    await until(
      () => client.info('persistence'),
      (text) => /^aof_buffer_length:0\r?$/m.test(text),
    );
    client.disconnect();
  }

  it('is restarted on its port with its data when it dies; workers and dashboard go on', async () => {
    up = startCommand(['up', '--workers', '1'], { cwd: folder, env });
    await up.waitForLine(/^Ready after /);
    const dashboard = await lineOf(/^Dashboard (?<value>\S+)/);
    const before = await redis();
    const kept = await runCli(['task', 'enqueue', 'fleet.canary', '--id', 'kept', '--delay', '3600000'], { cwd: folder });
    assert.equal(kept.code, 0, kept.stderr);
    await untilInFile(before.port);
    process.kill(before.pid, 'SIGKILL');
    await up.waitForLine(
      new RegExp(`^Redis \\(pid ${before.pid}\\) exited unexpectedly; restarting it\\. Log: ${folder}/\\.taskfleet/redis/redis\\.log$`),
    );
    assert.equal(Number(await lineOf(/^Redis restarted: pid (?<value>\d+)\.$/)), (await redis()).pid);
    assert.equal((await redis()).port, before.port);

    const api = ['--api', dashboard];
    await until(
      () => runCli(['task', 'show', 'kept', ...api], { cwd: folder }),
      ({ stdout }) => /^state {5}scheduled$/m.test(stdout),
    );
    const run = await runCli(['task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait', ...api], { cwd: folder });
    assert.equal(run.code, 0, run.stderr);
    assert.ok(!up.stderr.lines.some((line) => /^(Worker|Dashboard).*ended unexpectedly/.test(line)), up.stderr.text);
    assert.deepEqual(await up.stop(), { code: 0, signal: null });
    assert.equal(await identifyProcess((await redis().catch(() => before)).pid), null);
  });

  it('that cannot be restarted ends the fleet with code 69, and says who has its port', async () => {
    up = startCommand(['up', '--workers', '1', '--no-dashboard'], { cwd: folder, env });
    await up.waitForLine(/^Ready after /);
    const worker = Number(await lineOf(/^Worker 1 {2}pid (?<value>\d+)$/));
    const { pid, port } = await redis();
    const squatter = createServer((socket) => socket.destroy());
    process.kill(pid, 'SIGKILL');
    // At once: the restart takes the port a moment later.
    await until(
      () =>
        once(squatter.listen(port, '127.0.0.1'), 'listening').then(
          () => true,
          () => false,
        ),
      (listens) => listens,
    );
    assert.deepEqual(await up.exit, { code: 69, signal: null });
    squatter.close();
    forget(pid);
    assert.equal(await identifyProcess(worker), null);
    const [, reason] = await up.waitForLine(/^taskfleet: (.*)$/);
    assert.match(reason as string, new RegExp(`^Port ${port} of the embedded redis-server was taken by .+ \\(pid ${process.pid}\\)\\.`));
  });

  it('and its dashboard say which port was taken, by whom, and what they use instead', async () => {
    const [forRedis, forDashboard] = await Promise.all([taken(), taken()]);
    up = startCommand(['up', '--workers', '1'], {
      cwd: folder,
      env: { EMBEDDED_REDIS_PORT: String(forRedis.port), API_PORT: String(forDashboard.port) },
    });
    const holder = `in use by .+ \\(pid ${process.pid}\\)`;
    await up.waitForLine(new RegExp(`^Port ${forRedis.port} is ${holder}; Redis uses \\d+\\. To choose one: EMBEDDED_REDIS_PORT\\.$`));
    await up.waitForLine(new RegExp(`^Port ${forDashboard.port} is ${holder}; the dashboard uses \\d+\\. To choose one: API_PORT\\.$`));
    const dashboard = await lineOf(/^Dashboard (?<value>\S+)/);
    await up.waitForLine(new RegExp(`^ {2}node \\S+main\\.js task stop --item demo$`));

    const second = startCommand(['up', '--workers', '1', '--no-dashboard'], { cwd: folder });
    await second.waitForLine(
      new RegExp(
        `^A fleet runs in this folder already: pid ${up.pid}, 1 worker, dashboard ${dashboard}, Redis redis://127\\.0\\.0\\.1:${(await redis()).port}\\.$`,
      ),
    );
    await second.waitForLine(/^Ready after /);
    await second.stop();
    for (const { close } of [forRedis, forDashboard]) close();
  });
});

async function taken(): Promise<{ port: number; close: () => void }> {
  return onFreePort(async (port) => {
    const server = createServer();
    const listens = await once(server.listen(port, '127.0.0.1'), 'listening').then(
      () => true,
      () => false,
    );
    return listens ? { port, close: () => server.close() } : null;
  });
}
