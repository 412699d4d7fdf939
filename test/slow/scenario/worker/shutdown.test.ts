import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createProducer } from '../../../../producer/index.js';
import { scenarioTask } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../../support/network/fault-proxy.js';
import { startCommand } from '../../../support/process/command.js';
import type { NodeProcess } from '../../../support/process/processes.js';

const SHUTDOWN_TIMEOUT_MS = 500;
/** The guaranteed margin of 2 s beyond SHUTDOWN_TIMEOUT_MS, and the exit of a Node process on a busy machine. A faulty one hangs. */
const MOST_MS = SHUTDOWN_TIMEOUT_MS + 2_000 + 30_000;
const TASK_MODULE = fileURLToPath(new URL('../../../support/task/scenario-tasks.mjs', import.meta.url));

/** So that its folder can be changed. */
const REDIS = { extraArgs: ['--enable-protected-configs', 'yes'] };

interface Fault {
  readonly what: string;
  readonly begin: (fleet: TestFleet, proxy: FaultProxy) => Promise<unknown>;
  /** Faults under which running tasks cannot be requeued, or not verifiably. */
  readonly leaves: boolean;
}

const FAULTS: readonly Fault[] = [
  { what: 'is well', begin: () => Promise.resolve(), leaves: false },
  { what: 'is gone', begin: (fleet) => fleet.redis.kill(), leaves: true },
  { what: 'refuses connections and has ended them all', begin: async (_, proxy) => (proxy.refuse(), proxy.reset()), leaves: true },
  { what: 'is behind a connection that is half-open', begin: async (_, proxy) => proxy.halfOpen(), leaves: true },
  { what: 'hangs', begin: async ({ redis }) => process.kill(redis.pid, 'SIGSTOP'), leaves: true },
  { what: 'is paused', begin: ({ client }) => client.client('PAUSE', 60_000, 'ALL'), leaves: true },
  { what: 'pauses writes', begin: ({ client }) => client.client('PAUSE', 60_000, 'WRITE'), leaves: true },
  { what: 'has become a replica', begin: ({ client }) => client.replicaof('127.0.0.1', 1), leaves: true },
  { what: 'has too few replicas', begin: ({ client }) => client.config('SET', 'min-replicas-to-write', '1'), leaves: true },
  // Requeueing a job needs no memory.
  { what: 'has no memory left', begin: ({ client }) => client.config('SET', 'maxmemory', '1'), leaves: false },
  { what: 'cannot write to its disk', begin: failToSave, leaves: true },
  { what: 'refuses its user', begin: refuseUser, leaves: true },
];

/** Causes MISCONF: the last snapshot failed. */
async function failToSave({ client }: TestFleet): Promise<void> {
  await client.config('SET', 'dir', '/proc/self');
  await client.config('SET', 'save', '900 1');
  await client.bgsave();
  while (/rdb_bgsave_in_progress:1/.test(await client.info('persistence'))) await delay(20);
  assert.match(await client.info('persistence'), /rdb_last_bgsave_status:err/);
}

/** Disconnects all clients and refuses new ones. */
async function refuseUser({ client }: TestFleet): Promise<void> {
  await client.acl('SETUSER', 'default', 'resetpass', '>changed');
  for (const type of ['normal', 'pubsub']) await client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
}

interface Started {
  readonly process: NodeProcess;
  readonly fleet: TestFleet;
  readonly proxy: FaultProxy;
}

async function start(what: 'worker' | 'dashboard', ready: RegExp, then: (started: Started) => Promise<void>): Promise<void> {
  const fleet = await TestFleet.onOneServer(REDIS);
  const proxy = await FaultProxy.start(fleet.redis.port);
  const env = {
    REDIS_URL: proxy.url,
    REDIS_KEY_PREFIX: 'down',
    TASK_MODULES: TASK_MODULE,
    API_PORT: '0',
    SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS),
    STOP_GRACE_MS: '5000',
  };
  const child = startCommand([what], { env });
  try {
    await child.waitForLine(ready);
    await then({ process: child, fleet, proxy });
  } finally {
    child.kill('SIGKILL');
    await child.exit;
    await tearDown(fleet, proxy);
  }
}

/** Kills Redis first: a hanging, paused or refusing Redis would block the clean-up. */
async function tearDown(fleet: TestFleet, proxy: FaultProxy): Promise<void> {
  await fleet.redis.kill();
  await proxy.stop();
  await fleet.stop();
}

/** Ends a process with SIGTERM; fails beyond the guaranteed time. */
async function endsInTime(child: NodeProcess, mostMs = MOST_MS): Promise<void> {
  const askedAt = performance.now();
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 3 * mostMs);
  const status = await child.exit;
  clearTimeout(late);
  const ms = Math.round(performance.now() - askedAt);
  assert.deepEqual(status, { code: 0, signal: null }, `after ${ms} ms\n${child.stderr.text}`);
  assert.ok(ms < mostMs, `ended after ${ms} ms\n${child.stderr.text}`);
}

describe('A worker process ends in time on SIGTERM', { concurrency: 3 }, () => {
  for (const { what, begin, leaves } of FAULTS) {
    it(`when Redis ${what}, and names the unfinished task`, () =>
      start('worker', /Worker is ready/, async ({ process: worker, fleet, proxy }) => {
        const { id } = await fleet.producer({ keyPrefix: 'down' }).enqueue(scenarioTask, { ms: 600_000 });
        await worker.waitForLine(new RegExp(`"${id}".*begins, attempt 1`));
        await begin(fleet, proxy);
        await endsInTime(worker);
        const last = worker.stderr.lines.filter((line) => line.includes('Could not record these results'));
        assert.equal(last.length, leaves ? 1 : 0, worker.stderr.text);
        if (leaves) assert.ok(last[0]?.includes(id));
        else assert.match(worker.stderr.text, new RegExp(`"${id}".*Requeued the task`));
      }));

    it(`when Redis ${what} and nothing runs`, () =>
      start('worker', /Worker is ready/, async ({ process: worker, fleet, proxy }) => {
        await begin(fleet, proxy);
        await endsInTime(worker);
      }));
  }

  it('when Redis was never up', async () => {
    const worker = startCommand(['worker'], {
      env: { REDIS_URL: 'redis://127.0.0.1:1', SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS) },
    });
    await worker.waitForLine(/Redis connection lost/);
    await endsInTime(worker);
  });
});

describe('A dashboard process ends in time on SIGTERM', { concurrency: 3 }, () => {
  for (const { what, begin } of FAULTS) {
    it(`when Redis ${what}`, () =>
      start('dashboard', /Dashboard listening/, async ({ process: dashboard, fleet, proxy }) => {
        await begin(fleet, proxy);
        await endsInTime(dashboard);
      }));
  }
});

describe('A producer closes in time', { concurrency: 3 }, () => {
  for (const { what, begin } of FAULTS) {
    it(`when Redis ${what}, even with a pending wait for a result`, async () => {
      const fleet = await TestFleet.onOneServer(REDIS);
      const proxy = await FaultProxy.start(fleet.redis.port);
      const producer = createProducer({ redisUrl: proxy.url, keyPrefix: 'down', logLevel: 'silent' });
      try {
        const { id } = await producer.enqueue(scenarioTask, {});
        const waited = producer.result(id).catch((error: unknown) => error);
        await producer.list();
        await begin(fleet, proxy);
        const closingAt = performance.now();
        await producer.close();
        const ms = Math.round(performance.now() - closingAt);
        if (process.env['SHUTDOWN_FIGURES']) console.error(`FIGURE producer ${ms} ms`);
        assert.ok(ms < MOST_MS, `closed after ${ms} ms`);
        assert.ok((await waited) instanceof Error);
      } finally {
        await tearDown(fleet, proxy);
      }
    });
  }
});
