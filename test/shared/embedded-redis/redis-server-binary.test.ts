import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { startEmbeddedRedis } from '../../../shared/embedded-redis/embedded.js';
import { type CommandResult, type Machine, ensureRedisServer, findRedisServer } from '../../../shared/embedded-redis/server-binary.js';
import { isFleetError } from '../../../shared/errors.js';

let root: string;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-binary-')));
});

afterEach(() => rm(root, { recursive: true, force: true }));

/** A machine that records its commands; a successful apt-get puts a redis-server into `systemPath`. */
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
  it('prefers redis-server to valkey-server, in any order of the folders', async () => {
    for (const [folder, command] of [
      ['a', 'valkey-server'],
      ['b', 'redis-server'],
    ] as const) {
      await mkdir(join(root, folder));
      await writeFile(join(root, folder, command), '', { mode: 0o755 });
    }
    const [a, b] = [join(root, 'a'), join(root, 'b')];
    assert.equal(await findRedisServer(`${a}:${b}`), join(b, 'redis-server'));
    assert.equal(await findRedisServer(a), join(a, 'valkey-server'));
    assert.equal(await findRedisServer(''), null);
  });

  it('skips a file that is not executable, and a folder of that name', async () => {
    await mkdir(join(root, 'redis-server'));
    await writeFile(join(root, 'valkey-server'), '', { mode: 0o644 });
    assert.equal(await findRedisServer(root), null);
  });

  it('names three ways to get Redis if it may not or cannot install it', async () => {
    for (const facts of [
      { osRelease: DEBIAN, uid: 1_000 },
      { osRelease: ALPINE, uid: 0 },
      { osRelease: '', uid: 0 },
    ]) {
      const { machine, ran } = fakeMachine(facts);
      await assert.rejects(
        startEmbeddedRedis({
          dir: root,
          preferredPort: 1,
          path: '',
          say: () => assert.fail('installs'),
          logger: pino({ level: 'silent' }),
          machine,
        }),
        hasThreeWays,
      );
      assert.deepEqual(ran, []);
    }
  });
});

describe('installing redis-server', () => {
  it("announces the installation, then installs the distribution's package without starting its service", async () => {
    const printed: string[] = [];
    const { machine, ran } = fakeMachine({ osRelease: DEBIAN, uid: 0 });
    const say = (line: string): void => {
      assert.deepEqual(ran, []);
      printed.push(line);
    };
    const binary = await ensureRedisServer({ path: '', say, machine });
    assert.equal(binary, join(machine.systemPath, 'redis-server'));
    assert.deepEqual(printed, ["No redis-server found: installing Debian's redis-server package (apt-get) …"]);
    assert.match(ran[0] ?? '', /apt-get .*update$/);
    assert.match(
      ran[1] ?? '',
      /DEBIAN_FRONTEND=noninteractive .*DPkg::Lock::Timeout=120 .*install -y --no-install-recommends redis-server$/,
    );
    assert.match(ran[1] ?? '', /DPkg::Pre-Invoke::=.*policy-rc\.d/);
    assert.equal(ran.at(-1), 'update-rc.d redis-server disable');
  });

  it('recognises derivatives of Ubuntu', async () => {
    const printed: string[] = [];
    await ensureRedisServer({ path: '', say: (line) => printed.push(line), machine: fakeMachine({ osRelease: MINT, uid: 0 }).machine });
    assert.match(printed.join('\n'), /Ubuntu's redis-server package/);
  });

  it('installs once for two concurrent callers', async () => {
    const { machine, ran } = fakeMachine({ osRelease: DEBIAN, uid: 0 });
    const shared: Machine = { ...machine, exists: () => findRedisServer(machine.systemPath).then((file) => file !== null) };
    const found = await Promise.all([1, 2].map(() => ensureRedisServer({ path: '', say: () => undefined, machine: shared })));
    assert.equal(new Set(found).size, 1);
    assert.equal(ran.filter((command) => command.includes(' install ')).length, 1);
  });

  it('shows the last lines of a failed apt-get, and the three ways', async () => {
    const output = [...Array.from({ length: 40 }, (_, line) => `line ${line}`), 'E: Unable to locate package redis-server'].join('\n');
    const { machine } = fakeMachine({ osRelease: DEBIAN, uid: 0, install: { code: 100, output } });
    await assert.rejects(ensureRedisServer({ path: '', say: () => undefined, machine }), (error) => {
      assert.ok(isFleetError(error));
      assert.match(error.message, /apt-get install failed with 100/);
      assert.match(error.message, /E: Unable to locate package redis-server/);
      assert.doesNotMatch(error.message, /line 3\b/);
      return hasThreeWays(error);
    });
  });
});
