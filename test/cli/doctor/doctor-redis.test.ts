/** The doctor's findings for each topology, and for each Redis that the fleet cannot use. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkMemory, checkReplicas } from '../../../cli/doctor/redis-checks.js';
import { parseInfo, replicasOf } from '../../../cli/doctor/topology-report.js';
import { runCli } from '../../support/process/run-cli.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { TestSentinels } from '../../support/redis/test-sentinels.js';
import { until } from '../../support/until.js';

interface Answer {
  readonly code: number | null;
  readonly topology: Record<string, unknown> | null;
  readonly checks: ReadonlyMap<string, { readonly level: string; readonly message: string; readonly advice: string | null }>;
  /** Names of the failed checks. */
  readonly failed: readonly string[];
}

async function doctor(env: Readonly<Record<string, string>>): Promise<Answer> {
  const { code, stdout, stderr } = await runCli(['doctor', '-o', 'json'], { env });
  assert.ok(stdout.startsWith('{'), `exit ${code}: ${stdout}${stderr}`);
  const { checks, topology } = JSON.parse(stdout) as {
    checks: { name: string; level: string; message: string; advice: string | null }[];
    topology: Answer['topology'];
  };
  return {
    code,
    topology,
    checks: new Map(checks.map((check) => [check.name, check])),
    failed: checks.filter(({ level }) => level === 'fail').map(({ name }) => name),
  };
}

function replicasIn(topology: Answer['topology']): { address: string; link: string; lag_bytes: number }[] {
  return (topology?.['replicas'] ?? []) as { address: string; link: string; lag_bytes: number }[];
}

/** Asserts that exactly one check fails. */
function assertFails({ code, checks, failed }: Answer, name: string, message: RegExp, advice: RegExp): void {
  assert.deepEqual([code, failed], [1, [name]]);
  assert.match(checks.get(name)?.message ?? '', message);
  assert.match(checks.get(name)?.advice ?? '', advice);
}

describe('taskfleet doctor on a standalone Redis', () => {
  let redis: TestRedis;

  before(async () => {
    const users = [
      { name: 'mute', rules: 'on >pw ~* resetchannels +@all' },
      { name: 'narrow', rules: 'on >pw ~other:* &* +@all -hset -client|unblock' },
      { name: 'none', rules: 'on >pw ~* &* -@all +ping' },
    ];
    redis = await startTestRedis({ appendonly: 'yes', users, config: ['repl-diskless-sync-delay 0'] });
  });
  after(() => redis.stop());

  const as = (user: string): Record<string, string> => ({ REDIS_URL: redis.url.replace('redis://', `redis://${user}@`) });

  it('reports the topology and its replicas', async (t) => {
    const replica = await startTestRedis({ config: [`replicaof 127.0.0.1 ${redis.port}`] });
    t.after(() => replica.stop());
    const { topology, code } = await untilReplica();
    const [only] = replicasIn(topology);
    assert.deepEqual(
      [code, topology?.['kind'], topology?.['role'], only?.address, only?.link],
      [0, 'standalone', 'master', `127.0.0.1:${replica.port}`, 'online'],
    );
    assert.equal(typeof only?.lag_bytes, 'number');

    assertFails(
      await doctor({ REDIS_URL: replica.url }),
      'topology',
      new RegExp(`a read-only replica of 127\\.0\\.0\\.1:${redis.port}.*READONLY`),
      new RegExp(`^Set REDIS_URL to its master, 127\\.0\\.0\\.1:${redis.port}`),
    );
  });

  function untilReplica(): Promise<Answer> {
    return until(
      () => doctor({ REDIS_URL: redis.url }),
      ({ topology }) => replicasIn(topology).some(({ link }) => link === 'online'),
      { timeoutMs: 60_000 },
    );
  }

  it('fails for a user without the needed channels, keys or commands, and names the missing rules', async () => {
    assertFails(
      await doctor(as('mute:pw')),
      'permissions',
      /^user mute may not use the channels taskfleet:\*/,
      /: ACL SETUSER mute &taskfleet:\*$/,
    );
    const narrow = await doctor({ ...as('narrow:pw'), REDIS_KEY_PREFIX: 'mine' });
    assert.equal(narrow.checks.get('permissions')?.message, 'user narrow may not send hset, client unblock; nor access the keys mine:*');
    assert.match(narrow.checks.get('permissions')?.advice ?? '', /: ACL SETUSER narrow \+hset \+client\|unblock ~mine:\*$/);
  });

  it('passes once the user has the rules it named', async () => {
    const first = await doctor(as('none:pw'));
    assert.equal(first.checks.get('permissions')?.message, 'user none may not send multi, exec, discard, subscribe');
    await grant(first);
    await grant(await doctor(as('none:pw')));
    const { code, failed } = await doctor(as('none:pw'));
    assert.deepEqual([code, failed], [0, []]);
  });

  async function grant({ checks }: Answer): Promise<void> {
    const [, rules = ''] = /: ACL SETUSER none (.*?)(, then run the doctor again)?$/.exec(checks.get('permissions')?.advice ?? '') ?? [];
    await redis.client().call('ACL', 'SETUSER', 'none', ...rules.split(' '));
  }

  it('fails for wrong passwords and for a missing one', async (t) => {
    assertFails(await doctor(as('mute:other')), 'connection', /WRONGPASS/, /^Correct the user name and password in REDIS_URL/);
    const locked = await startTestRedis({ password: 'p#s/s@rd' });
    t.after(() => locked.stop());
    assertFails(
      await doctor({ REDIS_URL: `redis://127.0.0.1:${locked.port}` }),
      'connection',
      /NOAUTH/,
      /^Add the user name and password to REDIS_URL/,
    );
    assert.equal((await doctor({ REDIS_URL: locked.url })).code, 0);
  });

  it('fails for REDIS_CLUSTER without a cluster', async () => {
    assertFails(
      await doctor({ REDIS_URL: redis.url, REDIS_CLUSTER: 'true' }),
      'connection',
      /cluster support disabled/,
      /unset REDIS_CLUSTER/,
    );
  });

  it('fails for more required replicas than exist, and for a Redis that refuses writes', async () => {
    assertFails(
      await doctor({ REDIS_URL: redis.url, STOP_WAIT_REPLICAS: '1' }),
      'replicas',
      /^0 connected, but STOP_WAIT_REPLICAS is 1/,
      /^Lower STOP_WAIT_REPLICAS to 0/,
    );
    const client = redis.client();
    await client.config('SET', 'min-replicas-to-write', 1);
    const refused = await doctor({ REDIS_URL: redis.url });
    await client.config('SET', 'min-replicas-to-write', 0);
    assert.deepEqual([refused.code, refused.failed], [1, ['replicas', 'write']]);
    assert.match(refused.checks.get('replicas')?.message ?? '', /^0 in sync, but min-replicas-to-write is 1/);
    assert.match(refused.checks.get('write')?.message ?? '', /NOREPLICAS/);
  });

  it('leaves no keys behind', async () => {
    await doctor({ REDIS_URL: redis.url, REDIS_KEY_PREFIX: 'clean' });
    assert.deepEqual(
      (await redis.client().keys('clean:*')).filter((key) => !key.startsWith('clean:doctor:')),
      [],
    );
  });
});

it('reports the lag of replicas, and warns when Redis is nearly out of memory', () => {
  const info = parseInfo(
    [
      'role:master',
      'slave0:ip=10.0.0.2,port=6379,state=online,offset=90,lag=1',
      'slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0',
      'master_repl_offset:100',
    ].join('\r\n'),
  );
  assert.deepEqual(replicasOf(info), [
    { address: '10.0.0.2:6379', link: 'online', lagBytes: 10 },
    { address: '10.0.0.3:6379', link: 'wait_bgsave', lagBytes: 100 },
  ]);
  const none = { stopWaitReplicas: 1, enqueueWaitReplicas: 0 };
  assert.equal(checkReplicas(info, 0, none).level, 'ok');
  assert.match(
    checkReplicas(info, 0, { stopWaitReplicas: 1, enqueueWaitReplicas: 2 }).message,
    /^1 connected, but ENQUEUE_WAIT_REPLICAS is 2/,
  );
  const memory = (used: number, limit: number, system: number): string =>
    checkMemory(new Map(Object.entries({ used_memory: `${used}`, maxmemory: `${limit}`, total_system_memory: `${system}` }))).level;
  assert.deepEqual(
    [memory(89, 100, 100), memory(90, 100, 100), memory(89, 0, 100), memory(90, 0, 100), memory(90, 0, 0)],
    ['ok', 'warn', 'ok', 'warn', 'ok'],
  );
});

describe('taskfleet doctor with sentinels', () => {
  let redis: TestSentinels;

  before(async () => {
    redis = await TestSentinels.start();
  });
  after(() => redis.stop());

  const env = (changes: Readonly<Record<string, string>> = {}): Record<string, string> => ({
    REDIS_URL: `redis://${redis.name}`,
    REDIS_SENTINEL_HOSTS: redis.sentinelHosts,
    ...changes,
  });

  it('reports master, sentinels, quorum and replicas', async () => {
    const { code, topology, checks } = await doctor(env());
    const { master, quorum, sentinels, replicas } = topology as {
      master: string;
      quorum: number;
      sentinels: { answers: boolean }[];
      replicas: { link: string }[];
    };
    assert.deepEqual([code, topology?.['kind'], master, quorum], [0, 'sentinel', `127.0.0.1:${redis.nodes[0]?.port}`, 2]);
    assert.deepEqual(
      [sentinels.map(({ answers }) => answers), replicas.map(({ link }) => link)],
      [
        [true, true, true],
        ['online', 'online'],
      ],
    );
    assert.match(
      checks.get('topology')?.message ?? '',
      /^Redis master fleet at 127\.0\.0\.1:\d+ \(sentinels .*\): 3 of 3 sentinels answer, quorum 2; 2 replicas: /,
    );
    assert.equal((await doctor(env({ STOP_WAIT_REPLICAS: '2' }))).code, 0);
    assert.deepEqual((await doctor(env({ STOP_WAIT_REPLICAS: '3' }))).failed, ['replicas']);
  });

  it('fails for a master name that the sentinels do not know, and names the host of REDIS_URL', async () => {
    const answer = await doctor(env({ REDIS_URL: 'redis://mymaster' }));
    assert.ok(answer.failed.includes('topology') && answer.code === 1, JSON.stringify([...answer.checks]));
    assert.match(answer.checks.get('topology')?.message ?? '', /No such master/i);
    assert.match(answer.checks.get('topology')?.advice ?? '', /^Set the host of REDIS_URL, now mymaster, to the master's name/);
  });

  it('fails if REDIS_URL names a sentinel', async () => {
    const sentinel = redis.sentinels[0] as TestRedis;
    const { code, failed, checks } = await doctor({ REDIS_URL: `redis://127.0.0.1:${sentinel.port}` });
    assert.deepEqual([code, failed], [1, ['topology']]);
    assert.match(checks.get('topology')?.advice ?? '', /REDIS_SENTINEL_HOSTS/);
  });

  it('warns of an unreachable sentinel', async () => {
    await redis.sentinels[0]?.kill();
    const { code, checks } = await doctor(env());
    assert.equal(code, 0);
    assert.equal(checks.get('topology')?.level, 'warn');
    assert.match(checks.get('topology')?.message ?? '', /2 of 3 sentinels answer.*ECONNREFUSED/);
  });
});

describe('taskfleet doctor on a cluster', () => {
  let redis: TestCluster;

  before(async () => {
    redis = await TestCluster.start({ appendonly: 'yes' });
  });
  after(() => redis.stop());

  const env = (): Record<string, string> => ({ REDIS_URL: redis.url, REDIS_CLUSTER: 'true' });

  it('reports masters, replicas and slots, and checks every master', async () => {
    const { code, topology, checks } = await doctor(env());
    const { masters } = topology as { masters: { slots: number; replicas: unknown[] }[] };
    assert.deepEqual(
      [code, topology?.['kind'], topology?.['state'], topology?.['slots_covered'], topology?.['require_full_coverage']],
      [0, 'cluster', 'ok', 16_384, true],
    );
    assert.deepEqual(
      [masters.length, masters.reduce((sum, { slots }) => sum + slots, 0), masters.map(({ replicas }) => replicas.length)],
      [3, 16_384, [1, 1, 1]],
    );
    assert.match(
      checks.get('topology')?.message ?? '',
      /^cluster: 3 masters, 3 replicas, 16384 of 16384 slots covered, state ok, cluster-require-full-coverage yes$/,
    );
    assert.equal(checks.get('permissions')?.level, 'ok');
    const third = redis.nodes[2] as TestRedis;
    await third.client().config('SET', 'maxmemory-policy', 'allkeys-lru');
    assertFails(
      await doctor(env()),
      'eviction',
      new RegExp(`^127\\.0\\.0\\.1:${third.port}: maxmemory-policy is allkeys-lru`),
      /^Set maxmemory-policy noeviction/,
    );
  });

  it('fails for a cluster node without REDIS_CLUSTER', async () => {
    assertFails(
      await doctor({ REDIS_URL: redis.url }),
      'topology',
      /a node of a Redis Cluster, but REDIS_CLUSTER is not set/,
      /^Set REDIS_CLUSTER=true/,
    );
  });
});
