import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { isFleetError } from '../../shared/errors.js';
import { type EmbeddedRedis, type EmbeddedRedisOptions, findRunningEmbeddedRedis, startEmbeddedRedis } from '../../shared/redis/embedded.js';
import { takeLock } from '../../shared/redis/exclusive-lock.js';
import type { CommandResult, Machine } from '../../shared/redis/machine.js';
import { identifyProcess, identifyThisProcess, isRunning } from '../../shared/redis/process-identity.js';
import { ensureRedisServer, findRedisServer } from '../../shared/redis/server-binary.js';
import { freePort } from '../../shared/redis/server-process.js';
import { reapAtExit } from '../support/reaper.js';
import { spawnNode } from '../support/processes.js';
import { startTestRedis } from '../support/redis.js';

const PATH = process.env['PATH'] ?? '';
const NOBODY = { pid: 999_999_999, started: '1' };
const STARTER = join(import.meta.dirname, '../support/start-embedded-redis.ts');

let root: string;
let dir: string;
let started: EmbeddedRedis[];

beforeEach(async () => {
  // The installer of a bare machine, once, outside the measured tests.
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
  const redis = await startEmbeddedRedis({ dir, preferredPort, path: PATH, say: () => assert.fail('installs'), logger, ...options });
  if (redis.owned) reapAtExit(redis.pid);
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

/** A process that starts the embedded server, says so in a line, and then waits. */
function spawnStarter(args: readonly string[] = []) {
  return spawnNode(['--import', 'tsx', STARTER, dir, ...args], { env: { PATH } });
}

describe('the embedded redis-server', () => {
  it('serves the preferred port, on loopback, keeping every write', async () => {
    const preferredPort = await freePort();
    const redis = await start({ preferredPort });
    assert.equal(redis.owned, true);
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

  it('takes another port when the preferred one is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const redis = await start({ preferredPort: address.port });
    assert.notEqual(redis.port, address.port);
    assert.equal(await ask(redis.url, (client) => client.ping()), 'PONG');
    server.close();
  });

  it('keeps its data over a stop and a start', async () => {
    const first = await start();
    await ask(first.url, (redis) => redis.set('kept', 'yes'));
    await first.stop();
    const second = await start();
    assert.notEqual(second.pid, first.pid);
    assert.equal(await ask(second.url, (redis) => redis.get('kept')), 'yes');
  });

  it('ends, and is forgotten, with stop(), which may be called again', async () => {
    const redis = await start();
    assert.equal((await findRunningEmbeddedRedis(dir))?.pid, redis.pid);
    await Promise.all([redis.stop(), redis.stop()]);
    await redis.stop();
    await assert.rejects(stateOf(dir), { code: 'ENOENT' });
    assert.equal(await findRunningEmbeddedRedis(dir), null);
    assert.equal(await identifyProcess(redis.pid), null);
  });

  it('is killed when it does not end by itself', async () => {
    const redis = await start({ stopTimeoutMs: 100 });
    process.kill(redis.pid, 'SIGSTOP');
    await redis.stop();
    assert.equal(await identifyProcess(redis.pid), null);
  });

  it('works in a folder with spaces and quotes in its name, reached by a symbolic link', async () => {
    const odd = join(root, `it's a "folder"`);
    await mkdir(odd);
    await symlink(odd, join(root, 'link'));
    const redis = await start({ dir: join(root, 'link') });
    assert.equal(await config(redis.url, 'dir'), odd);
    for (const way of [odd, join(root, 'link')]) assert.equal((await findRunningEmbeddedRedis(way))?.pid, redis.pid);
  });

  it('says why it did not start, with the end of its log', async () => {
    await mkdir(join(dir, 'appendonlydir'), { recursive: true });
    await writeFile(join(dir, 'appendonlydir', 'appendonly.aof.manifest'), 'this is no manifest\n');
    await assert.rejects(start(), (error) => {
      assert.ok(isFleetError(error, 'REDIS_SERVER_FAILED'));
      assert.match(error.message, /ended with exit code 1/);
      assert.match(error.message, /manifest/i);
      return true;
    });
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });
});

describe('a second start in the same folder', () => {
  it('attaches to the server that runs, and its stop() leaves it alone', async () => {
    const first = await start();
    const second = await start();
    assert.deepEqual([second.owned, second.url, second.pid], [false, first.url, first.pid]);
    await second.stop();
    assert.equal(await ask(first.url, (redis) => redis.ping()), 'PONG');
  });

  it('gives one server when several come at the same moment', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => start()));
    assert.equal(new Set(all.map(({ pid }) => pid)).size, 1);
    assert.equal(all.filter(({ owned }) => owned).length, 1);
  });

  it('gives one server when several processes come at the same moment, after a crash in the midst of a start', async () => {
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, `server.lock.${NOBODY.pid}.${NOBODY.started}.00000000-0000-0000-0000-000000000000`), '');
    const starters = Array.from({ length: 4 }, () => spawnStarter());
    const lines = await Promise.all(starters.map((starter) => starter.waitForLine(/^pid (\d+) owned (true|false)$/)));
    assert.equal(new Set(lines.map((line) => line[1])).size, 1);
    assert.equal(lines.filter((line) => line[2] === 'true').length, 1);
    await Promise.all(starters.map((starter) => starter.stop()));
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });

  it('ignores a state file that speaks of a dead server, or of one with another folder', async () => {
    const other = await startTestRedis();
    await mkdir(dir, { recursive: true });
    for (const [pid, port] of [[NOBODY.pid, await freePort()], [other.pid, other.port]] as const) {
      await writeFile(join(dir, 'server.json'), JSON.stringify({ pid, port, url: `redis://127.0.0.1:${port}`, started: '1', owner: NOBODY }));
      assert.equal(await findRunningEmbeddedRedis(dir), null);
      const redis = await start();
      assert.equal(redis.owned, true);
      assert.notEqual(redis.port, port);
      await redis.stop();
    }
    await writeFile(join(dir, 'server.json'), '{"pid":');
    assert.equal((await start()).owned, true);
    await other.stop();
  });
});

describe('a server whose owner has died', () => {
  it('goes on, and belongs to the next that starts it', async () => {
    const starter = spawnStarter();
    const pid = Number((await starter.waitForLine(/^pid (\d+) owned true$/))[1]);
    reapAtExit(pid);
    // As a terminal's Ctrl+C: to the whole process group, here of an owner that does not handle it.
    process.kill(-starter.pid, 'SIGINT');
    await starter.exit;

    const adopted = await start();
    assert.deepEqual([adopted.owned, adopted.pid], [true, pid]);
    assert.equal((await start()).owned, false);
    await adopted.stop();
    assert.equal(await identifyProcess(pid), null);
    assert.equal(await findRunningEmbeddedRedis(dir), null);
  });

  it('is found again when the owner was killed before it could write down the pid', async () => {
    const first = await start();
    const state = await stateOf(dir);
    await writeFile(join(dir, 'server.json'), JSON.stringify({ ...state, pid: null, started: null, owner: NOBODY }));
    const second = await start();
    assert.deepEqual([second.owned, second.pid], [true, first.pid]);
    assert.equal((await stateOf(dir))['pid'], first.pid);
  });

  it('is not doubled when it lives but does not answer', { timeout: 30_000 }, async () => {
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

describe('the lock', () => {
  it('is held by one at a time', async () => {
    const path = join(root, 'lock');
    let inside = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const unlock = await takeLock(path, 20_000);
        assert.ok(unlock);
        inside += 1;
        assert.equal(inside, 1);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        await unlock();
      }),
    );
  });

  it('is not given while its holder lives, and is given when the holder has died', async () => {
    const path = join(root, 'lock');
    const unlock = await takeLock(path, 0);
    assert.ok(unlock);
    assert.equal(await takeLock(path, 100), null);
    await unlock();
    const self = await identifyThisProcess();
    assert.equal(await isRunning(self), true);
    // The pid lives, but it is another process than the one that took the lock.
    await writeFile(`${path}.${self.pid}.1.00000000-0000-0000-0000-000000000000`, '');
    const again = await takeLock(path, 0);
    assert.ok(again);
    await again();
  });
});

/** A machine that records what is run on it; its apt-get puts a redis-server into `systemPath` if `code` is 0. */
function fakeMachine(facts: { osRelease: string; uid: number; install?: CommandResult }): { machine: Machine; ran: string[] } {
  const ran: string[] = [];
  const systemPath = join(root, 'system');
  const machine: Machine = {
    ...{ systemPath, lockFolder: root, osRelease: () => Promise.resolve(facts.osRelease), uid: () => facts.uid },
    exists: () => Promise.resolve(false),
    run: async (command, args) => {
      ran.push([command, ...args].join(' '));
      if (!args.includes('install')) return { code: 0, output: '' };
      if (facts.install) return facts.install;
      await mkdir(systemPath, { recursive: true });
      await writeFile(join(systemPath, 'redis-server'), '', { mode: 0o755 });
      return { code: 0, output: '' };
    },
  };
  return { machine, ran };
}

const DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n';
const MINT = 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n';
const ALPINE = 'NAME="Alpine Linux"\nID=alpine\n';

function hasThreeWays(error: unknown): true {
  assert.ok(isFleetError(error, 'REDIS_SERVER_MISSING'));
  for (const way of ['apt-get install redis-server', 'dnf install', 'apk add', 'brew install', 'REDIS_URL']) {
    assert.ok(error.message.includes(way), `${way} in: ${error.message}`);
  }
  assert.ok(error.message.includes('docker run -p 6379:6379 redis:7 redis-server --appendonly yes --maxmemory-policy noeviction'));
  return true;
}

describe('finding redis-server', () => {
  it('takes redis-server before valkey-server, whatever the order of the folders', async () => {
    for (const [folder, command] of [['a', 'valkey-server'], ['b', 'redis-server']] as const) {
      await mkdir(join(root, folder));
      await writeFile(join(root, folder, command), '', { mode: 0o755 });
    }
    const [a, b] = [join(root, 'a'), join(root, 'b')];
    assert.equal(await findRedisServer(`${a}:${b}`), join(b, 'redis-server'));
    assert.equal(await findRedisServer(a), join(a, 'valkey-server'));
    assert.equal(await findRedisServer(''), null);
  });

  it('passes over a file that cannot be run, and a folder of that name', async () => {
    await mkdir(join(root, 'redis-server'));
    await writeFile(join(root, 'valkey-server'), '', { mode: 0o644 });
    assert.equal(await findRedisServer(root), null);
  });

  it('names three ways to get one where it may not or cannot install one', async () => {
    for (const facts of [{ osRelease: DEBIAN, uid: 1_000 }, { osRelease: ALPINE, uid: 0 }, { osRelease: '', uid: 0 }]) {
      const { machine, ran } = fakeMachine(facts);
      await assert.rejects(start({ path: '', machine }), hasThreeWays);
      assert.deepEqual(ran, []);
    }
  });
});

describe('installing redis-server', () => {
  it("says so first, then takes the distribution's package without letting its service start", async () => {
    const said: string[] = [];
    const { machine, ran } = fakeMachine({ osRelease: DEBIAN, uid: 0 });
    const say = (line: string): void => {
      assert.deepEqual(ran, []);
      said.push(line);
    };
    const binary = await ensureRedisServer({ path: '', say, machine });
    assert.equal(binary, join(machine.systemPath, 'redis-server'));
    assert.deepEqual(said, ["No redis-server found: installing Debian's redis-server package (apt-get) …"]);
    assert.match(ran[0] ?? '', /apt-get .*update$/);
    assert.match(ran[1] ?? '', /DEBIAN_FRONTEND=noninteractive .*DPkg::Lock::Timeout=120 .*install -y --no-install-recommends redis-server$/);
    assert.match(ran[1] ?? '', /DPkg::Pre-Invoke::=.*policy-rc\.d/);
    assert.equal(ran.at(-1), 'update-rc.d redis-server disable');
  });

  it('knows what is made from Ubuntu', async () => {
    const said: string[] = [];
    await ensureRedisServer({ path: '', say: (line) => said.push(line), machine: fakeMachine({ osRelease: MINT, uid: 0 }).machine });
    assert.match(said.join('\n'), /Ubuntu's redis-server package/);
  });

  it('installs once when two need it at the same moment', async () => {
    const { machine, ran } = fakeMachine({ osRelease: DEBIAN, uid: 0 });
    const shared: Machine = { ...machine, exists: () => findRedisServer(machine.systemPath).then((file) => file !== null) };
    const found = await Promise.all([1, 2].map(() => ensureRedisServer({ path: '', say: () => undefined, machine: shared })));
    assert.equal(new Set(found).size, 1);
    assert.equal(ran.filter((command) => command.includes(' install ')).length, 1);
  });

  it('shows the last lines of apt-get when it fails, and the three ways', async () => {
    const output = [...Array.from({ length: 40 }, (_, line) => `line ${line}`), 'E: Unable to locate package redis-server'].join('\n');
    const { machine } = fakeMachine({ osRelease: DEBIAN, uid: 0, install: { code: 100, output } });
    await assert.rejects(ensureRedisServer({ path: '', say: () => undefined, machine }), (error) => {
      assert.ok(isFleetError(error));
      assert.match(error.message, /apt-get install ended with 100/);
      assert.match(error.message, /E: Unable to locate package redis-server/);
      assert.doesNotMatch(error.message, /line 3\b/);
      return hasThreeWays(error);
    });
  });
});
