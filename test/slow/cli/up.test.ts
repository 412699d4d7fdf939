import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createProducer } from '../../../producer/index.js';
import { identifyProcess } from '../../../shared/embedded-redis/process-identity.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { COMMAND, startCommand } from '../../support/process/command.js';
import { ownPort } from '../../support/process/ports.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { forget, reapAtExit } from '../../support/process/reaper.js';
import { runCli, startCli } from '../../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

let folder: string;
/** Ports of the test's own: the Redis of another fleet could otherwise take that of a killed one. */
let ports: Record<string, string>;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-up-')));
  ports = { EMBEDDED_REDIS_PORT: String(await ownPort()), API_PORT: '0' };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Returns the pids of processes that are still alive. */
async function alive(pids: readonly number[]): Promise<number[]> {
  const found = await Promise.all(pids.map((pid) => identifyProcess(pid)));
  return found.flatMap((identity) => identity?.pid ?? []);
}

async function workerPid(up: NodeProcess, index: number): Promise<number> {
  const line = await up.waitForLine(new RegExp(`^Worker ${index} {2}pid (?<pid>\\d+)$`), { stream: 'stderr' });
  return Number(line.groups?.['pid']);
}

describe('taskfleet up with an embedded Redis', () => {
  let started: number[];

  beforeEach(() => {
    started = [];
  });
  afterEach(async () => {
    for (const pid of await alive(started)) process.kill(pid, 'SIGKILL');
  });

  /** Starts the fleet, waits until it is ready, and records the pids of its Redis and its worker. */
  async function startUp(): Promise<{ up: NodeProcess; redis: number; worker: number }> {
    const up = startCommand(['up', '--workers', '1'], { cwd: folder, env: ports });
    await up.waitForLine(/^Ready after /);
    const redis = await redisPid();
    reapAtExit(redis);
    const worker = await workerPid(up, 1);
    started.push(redis, worker);
    return { up, redis, worker };
  }

  it('runs tasks, and keeps queued tasks across a restart', async () => {
    const first = await startUp();
    const { groups } = await first.up.waitForLine(
      /^Dashboard (?<url>http:\/\/127\.0\.0\.1:\d+) \(this machine only, because API_TOKENS is not set\)$/,
    );
    assert.equal((await fetch(`${groups?.['url']}/livez`)).status, 200);
    const [canary, survivor] = await Promise.all([
      runCli(['task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait'], { cwd: folder }),
      runCli(['task', 'enqueue', 'fleet.canary', '--id', 'survivor', '--delay', '3600000'], { cwd: folder }),
    ]);
    assert.deepEqual([canary.code, survivor.code], [0, 0]);
    first.up.kill('SIGTERM');
    assert.deepEqual(await first.up.exit, { code: 0, signal: null });
    assert.deepEqual(await alive([first.redis, first.worker]), []);
    forget(first.redis);
    assert.equal(first.up.stdout.text, '');

    const second = await startUp();
    const { code, stdout } = await runCli(['task', 'show', 'survivor'], { cwd: folder });
    assert.deepEqual([code, /^state {5}scheduled$/m.test(stdout)], [0, true]);
    await second.up.stop();
    assert.deepEqual(await alive([second.redis, second.worker]), []);
    forget(second.redis);
  });

  it('restarts a killed worker; a second signal exits at once', async () => {
    const { up, redis, worker } = await startUp();
    process.kill(worker, 'SIGKILL');
    await up.waitForLine(new RegExp(`^Worker 1 \\(pid ${worker}\\) ended unexpectedly \\(SIGKILL\\); restarting it in 500 ms\\.$`));
    const line = await up.waitForLine(/^Worker 1 takes tasks again: pid (?<pid>\d+)\.$/);
    const successor = Number(line.groups?.['pid']);
    started.push(successor);

    const watch = startCli(['task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":60000}', '--wait'], { cwd: folder });
    await until(
      () => runCli(['task', 'list', '--state', 'running'], { cwd: folder }),
      ({ stdout }) => stdout.includes('fleet.canary'),
    );
    up.kill('SIGINT');
    await up.waitForLine(/^SIGINT: stopping/);
    await up.waitForLine(/Shutting down: no longer fetching/);
    up.kill('SIGINT');
    assert.deepEqual(await up.exit, { code: 130, signal: null });
    assert.deepEqual(await alive([redis, successor]), []);
    forget(redis);
    watch.kill('SIGINT');
    await watch.exit;
  });
});

describe('taskfleet up as a supervisor', () => {
  const children: number[] = [];
  afterEach(async () => {
    for (const pid of await alive(children.splice(0))) process.kill(pid, 'SIGKILL');
  });

  async function startUp(env: Record<string, string> = {}): Promise<{ up: NodeProcess; worker: number }> {
    const up = startCommand(['up', '--workers', '1', '--no-dashboard'], { cwd: folder, env: { ...ports, ...env } });
    await up.waitForLine(/^Ready after /);
    const worker = await workerPid(up, 1);
    children.push(worker);
    return { up, worker };
  }

  it('restarts its Redis, and a worker that hangs', async () => {
    const { up, worker } = await startUp({ HEARTBEAT_INTERVAL_MS: '2000' });
    const redis = await redisPid();
    await runCli(['task', 'enqueue', 'fleet.canary', '--id', 'kept', '--delay', '3600000'], { cwd: folder });
    process.kill(redis, 'SIGKILL');
    const line = await up.waitForLine(/^Redis restarted: pid (?<pid>\d+)\.$/);
    children.push(Number(line.groups?.['pid']));
    assert.equal((await runCli(['task', 'show', 'kept'], { cwd: folder })).code, 0);

    process.kill(worker, 'SIGSTOP');
    await up.waitForLine(new RegExp(`^Worker 1 \\(pid ${worker}\\) has not responded for 6\\.0 s; killing it\\.$`));
    await up.waitForLine(/^Worker 1 takes tasks again: pid \d+\.$/);
    const { code } = await runCli(['task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait'], { cwd: folder });
    assert.equal(code, 0);
    assert.deepEqual(await up.stop(), { code: 0, signal: null });
    assert.deepEqual(await alive(children), []);
  });

  it('shares its Redis with a second fleet in its folder, which takes it over; twenty signals leave no process behind', async () => {
    const first = await startUp();
    const redis = await redisPid();
    children.push(redis);
    const second = await startUp();
    await second.up.waitForLine(
      new RegExp(
        `^A fleet runs in this folder already: pid ${first.up.pid}, 1 worker, dashboard none yet, Redis redis://127\\.0\\.0\\.1:\\d+\\.$`,
      ),
    );
    await second.up.waitForLine(/^This one adds 1 worker, for the same tasks\. The last process to exit stops Redis\.$/);
    assert.deepEqual(await first.up.stop(), { code: 0, signal: null });
    assert.deepEqual(await alive([redis, first.worker]), [redis]);
    const { code } = await runCli(['task', 'enqueue', 'fleet.canary', '--input', '{"run_ms":1}', '--wait'], { cwd: folder });
    assert.equal(code, 0);

    for (let n = 0; n < 20; n += 1) second.up.kill('SIGTERM');
    await second.up.exit;
    await until(
      () => alive(children),
      (living) => living.length === 0,
    );
  });
});

async function redisPid(): Promise<number> {
  const { pid } = JSON.parse(await readFile(join(folder, '.taskfleet/redis/server.json'), 'utf8')) as { pid: number };
  return pid;
}

describe('taskfleet up with REDIS_URL', () => {
  let redis: TestRedis;

  beforeEach(async () => {
    redis = await startTestRedis();
  });
  afterEach(() => redis.stop());

  it('exits with code 78, and leaves no process behind, if its workers cannot start', async () => {
    const up = startCommand(['up'], { cwd: folder, env: { REDIS_URL: redis.url, TASK_MODULES: './missing.js' } });
    const workers = [await workerPid(up, 1), await workerPid(up, 2)];
    assert.deepEqual(await up.exit, { code: 78, signal: null });
    assert.deepEqual(up.stderr.lines.filter((line) => /^taskfleet: Task module .*missing\.js/.test(line)).length, 1);
    assert.deepEqual(await alive(workers), []);
  });

  it('when killed, is outlived by its workers only until their tasks have ended', async () => {
    const producer = createProducer({ redisUrl: redis.url });
    const env = { PATH: process.env['PATH'] ?? '', REDIS_URL: redis.url };
    const up = spawn(process.execPath, [COMMAND, 'up', '--workers', '1'], {
      cwd: folder,
      env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    reapAtExit(-(up.pid as number));
    const lines: string[] = [];
    // The stream ends when the last process exits, since all of them write to it.
    for await (const line of createInterface({ input: up.stderr })) {
      lines.push(line);
      if (!line.startsWith('Ready after')) continue;
      await producer.enqueue(fleetCanary, { run_ms: 500 }, { id: 'last' });
      for await (const event of producer.events('last')) if (event.type === 'state' && event.state === 'running') break;
      const exit = once(up, 'exit');
      up.kill('SIGKILL');
      await exit;
    }
    forget(-(up.pid as number));
    assert.match(lines.join('\n'), /the parent process is gone/);
    assert.equal((await producer.get('last'))?.state, 'completed');
    await producer.close();
  });
});
