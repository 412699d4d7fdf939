import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { type Server, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import {
  type EmbeddedRedis,
  type EmbeddedRedisOptions,
  findRunningEmbeddedRedis,
  startEmbeddedRedis,
} from '../../../shared/embedded-redis/embedded.js';
import { identifyProcess } from '../../../shared/embedded-redis/process-identity.js';
import { ensureRedisServer } from '../../../shared/embedded-redis/server-binary.js';
import { freePort } from '../../../shared/embedded-redis/server-process.js';
import { isFleetError } from '../../../shared/errors.js';
import { built } from '../../support/process/built.js';
import { spawnNode } from '../../support/process/processes.js';
import { reapAtExit } from '../../support/process/reaper.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

const PATH = process.env['PATH'] ?? '';
const NOBODY = { pid: 999_999_999, started: '1' };
/** Long enough for a restart of the server. */
const RESTARTED = { timeout: 120_000 };
const STARTER = built('test/support/redis/start-embedded-redis.mjs');

let root: string;
let dir: string;
let started: EmbeddedRedis[];

beforeEach(async () => {
  // Installs redis-server if missing, outside the tests' time limits.
  await ensureRedisServer({ path: PATH, say: (line) => console.error(line) });
  root = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-embedded-')));
  dir = join(root, 'state', 'redis');
  started = [];
});

afterEach(async () => {
  await Promise.all(started.map((redis) => redis.stop()));
  await rm(root, { recursive: true, force: true });
});

async function start(options: Partial<EmbeddedRedisOptions> = {}): Promise<EmbeddedRedis> {
  const preferredPort = options.preferredPort ?? (await freePort());
  const logger = pino({ level: 'silent' });
  const redis = await startEmbeddedRedis({
    dir,
    preferredPort,
    path: PATH,
    say: () => assert.fail('unexpected installation'),
    logger,
    ...options,
  });
  reapAtExit(redis.pid);
  started.push(redis);
  return redis;
}

async function ask<Answer>(url: string, question: (redis: Redis) => Promise<Answer>): Promise<Answer> {
  const redis = new Redis(url, { protocol: 2 });
  try {
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}

async function config(url: string, name: string): Promise<string | undefined> {
  return (await ask(url, (redis) => redis.config('GET', name)))[1];
}

async function stateOf(folder: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(folder, 'server.json'), 'utf8')) as Record<string, unknown>;
}

/** Spawns a process that starts the embedded server, prints a line, and waits. */
function spawnStarter(args: readonly string[] = []) {
  return spawnNode([STARTER, dir, ...args], { env: { PATH } });
}

describe('the embedded redis-server', () => {
  it('listens on the preferred port, on loopback, and persists every write', async () => {
    const preferredPort = await freePort();
    const redis = await start({ preferredPort });
    assert.deepEqual(redis.sharedWith, []);
    assert.equal(redis.port, preferredPort);
    assert.equal(redis.url, `redis://127.0.0.1:${preferredPort}`);
    assert.equal(await config(redis.url, 'bind'), '127.0.0.1');
    assert.equal(await config(redis.url, 'appendonly'), 'yes');
    assert.equal(await config(redis.url, 'appendfsync'), 'everysec');
    assert.equal(await config(redis.url, 'maxmemory-policy'), 'noeviction');
    assert.equal(await config(redis.url, 'save'), '');
    assert.equal((await stat(dir)).mode & 0o777, 0o700);
    const { pid, port, url } = await stateOf(dir);
    assert.deepEqual({ pid, port, url }, { pid: redis.pid, port: redis.port, url: redis.url });
  });

  it('uses another port when the preferred one is in use', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const lines: string[] = [];
    const redis = await start({ preferredPort: address.port, say: (line) => lines.push(line) });
    assert.notEqual(redis.port, address.port);
    assert.match(
      lines.join('\n'),
      new RegExp(`^Port ${address.port} is in use.*; Redis uses ${redis.port}\\. To choose one: EMBEDDED_REDIS_PORT\\.$`),
    );
    assert.equal(await ask(redis.url, (client) => client.ping()), 'PONG');
    server.close();
  });

  it('keeps its data over a restart', async () => {
    const first = await start();
    await ask(first.url, (redis) => redis.set('kept', 'yes'));
    await first.stop();
    const second = await start();
    assert.notEqual(second.pid, first.pid);
    assert.equal(await ask(second.url, (redis) => redis.get('kept')), 'yes');
  });

  it('ends with stop(), which may be called again, and leaves no state', async () => {
    const redis = await start();
    assert.equal((await findRunningEmbeddedRedis(dir))?.pid, redis.pid);
    await Promise.all([redis.stop(), redis.stop()]);
    await redis.stop();
    await assert.rejects(stateOf(dir), { code: 'ENOENT' });
    assert.equal(await findRunningEmbeddedRedis(dir), null);
    assert.equal(await identifyProcess(redis.pid), null);
  });

  it('is killed when it does not end in time', async () => {
    const redis = await start({ stopTimeoutMs: 100 });
    process.kill(redis.pid, 'SIGSTOP');
    await redis.stop();
    assert.equal(await identifyProcess(redis.pid), null);
  });

  it('works in a folder with spaces and quotes in its name, reached through a symbolic link', async () => {
    const odd = join(root, `it's a "folder"`);
    await mkdir(odd);
    await symlink(odd, join(root, 'link'));
    const redis = await start({ dir: join(root, 'link') });
    assert.equal(await config(redis.url, 'dir'), odd);
    for (const way of [odd, join(root, 'link')]) assert.equal((await findRunningEmbeddedRedis(way))?.pid, redis.pid);
  });

  it('reports why it did not start, with the end of its log', async () => {
    await mkdir(join(dir, 'appendonlydir'), { recursive: true });
    await writeFile(join(dir, 'appendonlydir', 'appendonly.aof.manifest'), 'this is no manifest\n');
    await assert.rejects(start(), (error) => {
      assert.ok(isFleetError(error, 'REDIS_SERVER_FAILED'));
      assert.match(error.message, /exited with code 1/);
      assert.match(error.message, /manifest/i);
      return true;
    });
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });
});

describe('a second start in the same folder', () => {
  it('attaches to the running server; the last user to stop ends it', async () => {
    for (const order of ['first out', 'second out'] as const) {
      const first = await start();
      const second = await start();
      assert.deepEqual([first.sharedWith, second.sharedWith, second.url, second.pid], [[], [process.pid], first.url, first.pid]);
      const [leaves, stays] = order === 'first out' ? [first, second] : [second, first];
      await leaves.stop();
      assert.equal(await ask(stays.url, (redis) => redis.ping()), 'PONG');
      await stays.stop();
      assert.equal(await identifyProcess(stays.pid), null);
    }
  });

  it('starts one server for several concurrent starts', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => start()));
    assert.equal(new Set(all.map(({ pid }) => pid)).size, 1);
    assert.equal(all.filter(({ sharedWith }) => sharedWith.length === 0).length, 1);
  });

  it('starts one server for several processes at once, after a crash during a start', async () => {
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, `server.lock.${NOBODY.pid}.${NOBODY.started}.00000000-0000-0000-0000-000000000000`), '');
    const starters = Array.from({ length: 4 }, () => spawnStarter());
    const lines = await Promise.all(starters.map((starter) => starter.waitForLine(/^pid (\d+) alone (true|false)$/)));
    assert.equal(new Set(lines.map((line) => line[1])).size, 1);
    assert.equal(lines.filter((line) => line[2] === 'true').length, 1);
    await Promise.all(starters.map((starter) => starter.stop()));
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });

  it('ignores the state file of a dead server, and of a server of another folder', async () => {
    const other = await startTestRedis();
    await mkdir(dir, { recursive: true });
    for (const [pid, port] of [
      [NOBODY.pid, await freePort()],
      [other.pid, other.port],
    ] as const) {
      await writeFile(join(dir, 'server.json'), JSON.stringify({ pid, port, url: `redis://127.0.0.1:${port}`, started: '1' }));
      assert.equal(await findRunningEmbeddedRedis(dir), null);
      const redis = await start();
      assert.deepEqual(redis.sharedWith, []);
      assert.notEqual(redis.port, port);
      await redis.stop();
    }
    await writeFile(join(dir, 'server.json'), '{"pid":');
    assert.deepEqual((await start()).sharedWith, []);
    await other.stop();
  });
});

describe('a server whose starter has died', () => {
  it('keeps running until the next user starts and stops it', async () => {
    const starter = spawnStarter();
    const pid = Number((await starter.waitForLine(/^pid (\d+) alone true$/))[1]);
    reapAtExit(pid);
    // Like Ctrl+C of a terminal: sent to the whole process group, whose leader does not handle it.
    process.kill(-starter.pid, 'SIGINT');
    await starter.exit;

    const adopted = await start();
    assert.deepEqual([adopted.sharedWith, adopted.pid], [[], pid]);
    await adopted.stop();
    assert.equal(await identifyProcess(pid), null);
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });

  it('is found again if its starter was killed before it recorded the pid', async () => {
    const first = await start();
    const state = await stateOf(dir);
    await writeFile(join(dir, 'server.json'), JSON.stringify({ ...state, pid: null, started: null }));
    const second = await start();
    assert.equal(second.pid, first.pid);
    assert.equal((await stateOf(dir))['pid'], first.pid);
  });

  it('is not started twice while it is alive but does not answer', { timeout: 120_000 }, async () => {
    const first = await start();
    process.kill(first.pid, 'SIGSTOP');
    try {
      await assert.rejects(start({ startTimeoutMs: 500 }), (error) => isFleetError(error, 'REDIS_SERVER_FAILED'));
    } finally {
      process.kill(first.pid, 'SIGCONT');
    }
    assert.equal((await start()).pid, first.pid);
  });
});

/** Takes the port of a killed server before it is restarted, a moment later. */
async function listenOn(server: Server, port: number): Promise<void> {
  for (let isTaken = true; isTaken;) {
    isTaken = await once(server.listen(port, '127.0.0.1'), 'listening').then(
      () => false,
      () => true,
    );
  }
}

describe('a server that ends unexpectedly', () => {
  it('is restarted once for all users, with its data and on the same port', RESTARTED, async () => {
    const lines: string[] = [];
    const all = [await start({ say: (line) => lines.push(line) }), await start({ say: () => undefined })];
    const [{ pid, port, url }] = all as [EmbeddedRedis, EmbeddedRedis];
    await ask(url, (redis) => redis.set('kept', 'yes'));
    process.kill(pid, 'SIGKILL');
    await until(
      () => Promise.resolve(all.map((one) => one.pid)),
      (pids) => pids.every((one) => one !== pid),
    );
    assert.equal(new Set(all.map((one) => one.pid)).size, 1);
    for (const one of all) reapAtExit(one.pid);
    assert.equal(await ask(url, (redis) => redis.get('kept')), 'yes');
    assert.equal((await findRunningEmbeddedRedis(dir))?.port, port);
    assert.deepEqual(lines, [
      `Redis (pid ${pid}) exited unexpectedly; restarting it. Log: ${join(dir, 'redis.log')}`,
      `Redis restarted: pid ${all[0]?.pid}.`,
    ]);
  });

  it('is reported as lost, with the reason, if another program has taken its port', RESTARTED, async () => {
    const redis = await start({ say: () => undefined });
    const squatter = createServer((socket) => socket.destroy());
    process.kill(redis.pid, 'SIGKILL');
    await listenOn(squatter, redis.port);
    const error = await redis.lost;
    assert.match(error.message, new RegExp(`Port ${redis.port} of the embedded redis-server was taken by .+`));
    squatter.close();
  });

  it('is lost at once if another redis-server answers on its port, to which its clients reconnect', RESTARTED, async () => {
    const [other, lines] = [await startTestRedis(), [] as string[]];
    const write = (line: string): void => void lines.push(line);
    const redis = await start({ say: () => undefined, logger: pino({ level: 'warn' }, { write }) });
    const proxy = createServer((socket) => socket.pipe(connect(other.port, '127.0.0.1')).pipe(socket));
    process.kill(redis.pid, 'SIGKILL');
    await listenOn(proxy, redis.port);
    assert.match((await redis.lost).message, new RegExp(`Port ${redis.port} of the embedded redis-server was taken by .+`));
    assert.deepEqual(lines, [], 'no second attempt');
    proxy.close();
    await other.stop();
  });

  it('is not restarted after a concurrent stop', RESTARTED, async () => {
    const redis = await start({ say: () => undefined });
    process.kill(redis.pid, 'SIGKILL');
    await redis.stop();
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });
});

describe('an unwritable folder', () => {
  it('is named, with advice', async () => {
    await writeFile(join(root, 'file'), '');
    await assert.rejects(start({ dir: join(root, 'file', 'redis') }), (error) => {
      assert.ok(isFleetError(error, 'REDIS_SERVER_FAILED'));
      assert.match(error.message, /Cannot write to Redis' data folder .*\/file\/redis \(ENOTDIR.*\)\. Make it writable, .*set REDIS_URL/);
      return true;
    });
  });
});

describe('an aborted start', () => {
  it('leaves no server behind', async () => {
    const controller = new AbortController();
    const starting = start({ signal: controller.signal });
    await until(
      () => stateOf(dir).catch((): Record<string, unknown> => ({})),
      (state) => typeof state['pid'] === 'number',
    );
    controller.abort(new Error('test abort'));
    await starting.then(
      (redis) => redis.stop(), // it started before the abort
      (error: unknown) => assert.match(String(error), /test abort/),
    );
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });
});
