import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { parse } from 'yaml';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { DashboardServer } from '../../../dashboard/server.js';
import { createProducer } from '../../../producer/index.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { loadSettings, settingVariables } from '../../../shared/settings/settings.js';
import { startTestRedis, type TestRedis } from '../../support/redis/test-redis.js';

interface Service {
  readonly image?: string;
  readonly build?: string;
  readonly command?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly stop_grace_period?: string;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly container_name?: string;
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const source = readFileSync(resolve(root, 'docker-compose.yml'), 'utf8');
const { services, volumes } = parse(source) as { services: Record<string, Service>; volumes: Record<string, unknown> };

function service(name: string): Service {
  const found = services[name];
  assert.ok(found, `docker-compose.yml has no service ${name}`);
  return found;
}

describe('the Redis of docker-compose.yml', () => {
  let server: TestRedis;
  let redis: Redis;
  before(async () => {
    const [command, ...args] = service('redis').command ?? [];
    assert.equal(command, 'redis-server');
    server = await startTestRedis({ extraArgs: args });
    redis = server.client();
  });
  after(() => server.stop());

  for (const [parameter, expected] of [
    ['appendonly', 'yes'],
    ['maxmemory-policy', 'noeviction'],
  ] as const) {
    test(`its command line sets ${parameter} to ${expected}`, async () => {
      assert.deepEqual(await redis.config('GET', parameter), [parameter, expected]);
    });
  }

  test('its append-only file is on a named volume', () => {
    assert.deepEqual(
      service('redis').volumes?.map((mount) => mount.split(':')[1]),
      ['/data'],
    );
    for (const mount of service('redis').volumes ?? []) assert.ok((mount.split(':')[0] ?? '') in volumes, mount);
  });

  test('it is published on loopback only and has a health check', () => {
    for (const port of service('redis').ports ?? []) assert.match(port, /^127\.0\.0\.1:/);
    assert.match(service('redis').healthcheck?.test.join(' ') ?? '', /redis-cli ping/);
  });
});

describe('the worker of docker-compose.yml', () => {
  const known = settingVariables();

  test('every variable of the file is a setting', () => {
    const given = Object.values(services).flatMap(({ environment }) => Object.keys(environment ?? {}));
    const interpolated = [...source.matchAll(/(?<!\$)\$\{?(?<name>[A-Za-z_]+)/g)].map((match) => match.groups?.['name']);
    for (const name of [...given, ...interpolated]) assert.ok(known.has(name ?? ''), `${name} is not a setting`);
  });

  test('its settings are valid, and the host of Redis is the service name', () => {
    const settings = loadSettings(workerEnvironment());
    const { hostname, port } = new URL(settings.redisUrl ?? '');
    assert.ok(service(hostname));
    assert.equal(port, '6379');
  });

  test('it starts when Redis is healthy', () => {
    assert.deepEqual(service('worker').depends_on, { redis: { condition: 'service_healthy' } });
  });

  test('its stop timeout is longer than the shutdown timeout', () => {
    const grace = /^(?<seconds>\d+)s$/.exec(service('worker').stop_grace_period ?? '')?.groups?.['seconds'];
    assert.ok(Number(grace) * 1_000 > loadSettings(workerEnvironment()).shutdownTimeoutMs, `stop_grace_period ${grace} s`);
  });

  test('it can be scaled: no fixed name or port', () => {
    assert.equal(service('worker').container_name, undefined);
    assert.equal(service('worker').ports, undefined);
  });

  test('its image is built here, and it runs a command of the CLI', async () => {
    assert.equal(service('worker').build, '.');
    assert.ok(existsSync(resolve(root, 'Dockerfile')));
    assert.deepEqual(service('worker').command, ['worker']);
  });
});

describe('the dashboard of docker-compose.yml', () => {
  let server: TestRedis;
  before(async () => {
    server = await startTestRedis();
  });
  after(() => server.stop());

  const required = /^\$\{API_TOKENS:\?(?<message>[^}]+)\}$/;

  test('without tokens it does not start, and says how to make one', () => {
    const { message = '' } = required.exec(service('dashboard').environment?.['API_TOKENS'] ?? '')?.groups ?? {};
    assert.match(message, /taskfleet token create/);
  });

  test('with tokens its settings are valid, and it listens on all addresses', async () => {
    const API_TOKENS = entryOf(newToken(), { name: 'ada', role: 'admin', items: null });
    const settings = loadSettings({ ...environmentOf('dashboard'), API_TOKENS, REDIS_URL: server.url, API_PORT: '0' });
    const producer = createProducer({ redisUrl: server.url, logLevel: 'silent' });
    const dashboard = new DashboardServer({
      settings,
      producer,
      loggers: createLoggerFactory({ settings, destination: { write: () => undefined } }),
    });
    await dashboard.start();
    assert.match(dashboard.url, /^http:\/\/0\.0\.0\.0:/);
    await dashboard.stop();
    await producer.close();
  });

  test('it is published on loopback only, and port and health check match', () => {
    const { apiPort } = loadSettings({ ...environmentOf('dashboard'), API_TOKENS: '' });
    assert.deepEqual(service('dashboard').ports, [`127.0.0.1:${apiPort}:${apiPort}`]);
    assert.match(service('dashboard').healthcheck?.test.join(' ') ?? '', new RegExp(`http://127\\.0\\.0\\.1:${apiPort}/livez`));
  });

  test('it starts when Redis is healthy, and its stop timeout is longer than the shutdown timeout', () => {
    assert.deepEqual(service('dashboard').depends_on, { redis: { condition: 'service_healthy' } });
    const { shutdownTimeoutMs } = loadSettings({ ...environmentOf('dashboard'), API_TOKENS: '' });
    assert.ok(Number.parseInt(service('dashboard').stop_grace_period ?? '', 10) * 1_000 > shutdownTimeoutMs);
  });
});

function workerEnvironment(): Record<string, string> {
  return environmentOf('worker');
}

function environmentOf(name: string): Record<string, string> {
  const given = Object.entries(service(name).environment ?? {});
  return Object.fromEntries(given.filter((entry): entry is [string, string] => entry[1] !== null));
}
