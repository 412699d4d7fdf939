import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { createProducer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { loadSettings } from '../../../../shared/settings/settings.js';
import { SCENARIO_MODULE, handlerBegins, scenarioTask } from '../../../support/fleet/scenario.js';
import { runCommand, startCommand } from '../../../support/process/command.js';
import { type TestRedis, startTestRedis } from '../../../support/redis/test-redis.js';
import { TestSentinels } from '../../../support/redis/test-sentinels.js';
import { TestTls } from '../../../support/redis/test-tls.js';
import { until } from '../../../support/until.js';

const PASSWORD = 'p@ss/w:rd#1';

/** A way to connect to Redis: the environment of every process of the fleet, and a client to inspect it. */
interface Deployment {
  readonly env: Readonly<Record<string, string>>;
  readonly client: ReturnType<TestRedis['client']>;
}

/** TLS with certificates on both sides, and a user with the minimal permissions. */
async function overTls(t: TestContext): Promise<Deployment> {
  const tls = await TestTls.create({ clientCertificates: true });
  const allowed = '+@read +@write +@connection +@pubsub +@transaction +@scripting +info +time +wait +config|get +acl|whoami';
  const rules = `on >${PASSWORD} ~deployed:* &deployed:* -@all ${allowed} -@dangerous +info +config|get +client +role`;
  const redis = await startTestRedis({ tls, users: [{ name: 'fleet', rules }] });
  t.after(async () => {
    await redis.stop();
    await tls.remove();
  });
  const url = `rediss://fleet:${encodeURIComponent(PASSWORD)}@localhost:${redis.port}/0`;
  return {
    env: { REDIS_URL: url, REDIS_TLS_CA_FILE: tls.caFile, REDIS_TLS_CERT_FILE: tls.certFile, REDIS_TLS_KEY_FILE: tls.keyFile },
    client: redis.client(),
  };
}

/** The form of open-webui's settings: the host of the URL is the name of the service. */
async function behindSentinels(t: TestContext): Promise<Deployment> {
  const sentinels = await TestSentinels.start({ password: 'secret' });
  t.after(() => sentinels.stop());
  return {
    env: { REDIS_URL: `redis://:secret@${sentinels.name}/0`, REDIS_SENTINEL_HOSTS: sentinels.sentinelHosts },
    client: sentinels.client(),
  };
}

describe('A fleet of processes', () => {
  for (const [where, deploy] of [
    ['over TLS with certificates on both sides and a user of its own', overTls],
    ['behind sentinels and a password', behindSentinels],
  ] as const) {
    it(`${where}: runs, stops, follows and lists tasks, and doctor finds nothing to fail`, async (t) => {
      const deployment = await deploy(t);
      const env = { ...deployment.env, REDIS_KEY_PREFIX: 'deployed', TASK_MODULES: SCENARIO_MODULE };
      const [worker, dashboard] = [
        startCommand(['worker'], { env: { ...env, SHUTDOWN_TIMEOUT_MS: '0', WORKER_LOG_LEVEL: 'debug' } }),
        startCommand(['dashboard', '--port', '0'], { env }),
      ];
      const settings = loadSettings({ ...env, GLOBAL_LOG_LEVEL: 'silent' });
      const producer = createProducer({ ...settings, redisUrl: settings.redisUrl as string });
      t.after(async () => {
        await producer.close();
        await Promise.all([worker.stop(), dashboard.stop()]);
      });
      await worker.waitForLine(/Worker is ready/);

      const short = await producer.enqueue(scenarioTask, { ms: 0 });
      await producer.result(short, { timeoutMs: 60_000 });
      const long = await producer.enqueue(scenarioTask, { ms: 600_000 }, { item: 'chat-1' });
      await handlerBegins([worker], long.id);
      const listed = await runCommand(['task', 'list', '--item', 'chat-1', '-o', 'json'], { env });
      assert.deepEqual(
        (JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id),
        [long.id],
        listed.stderr,
      );
      const states: string[] = [];
      const following = (async () => {
        for await (const event of producer.events(long)) if (event.type === 'state') states.push(event.state);
      })();
      await until(
        () => Promise.resolve(states.length),
        (count) => count > 0,
      );
      const receipt = await producer.stop(long, { waitMs: 60_000 });
      assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
      await following;
      assert.equal(states.at(-1), 'cancelled');
      await until(
        () => deployment.client.hlen(createKeys('deployed').tasks),
        (live) => live === 0,
      );

      const { groups } = await dashboard.waitForLine(/"url":"(?<url>http:\/\/127\.0\.0\.1:\d+)".*Dashboard listening/);
      assert.equal((await fetch(`${groups?.['url']}/readyz`)).status, 200);
      const doctor = await runCommand(['doctor', '-o', 'json'], { env });
      const { checks, topology } = JSON.parse(doctor.stdout) as {
        checks: { name: string; level: string; message: string }[];
        topology: { kind: string };
      };
      assert.deepEqual(
        checks.filter(({ level }) => level === 'fail'),
        [],
        doctor.stderr,
      );
      assert.equal(topology.kind, 'REDIS_SENTINEL_HOSTS' in env ? 'sentinel' : 'standalone');
    });
  }
});
