import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import { type Producer, createProducer } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { type Answer, type Served, serveDashboard } from '../serve-dashboard.js';

const MEGABYTE = 1_048_576;

/** Asserts that an answer is a problem, and returns its detail. */
function detailOf({ type, status, headers, body }: Answer, expected: { status: number; title: string; code: string }): string {
  assert.equal(type, 'application/problem+json');
  const { detail, request_id, errors: _errors, ...rest } = body as Record<string, unknown>;
  assert.equal(request_id, headers['x-request-id']);
  assert.deepEqual({ httpStatus: status, ...rest }, { httpStatus: expected.status, type: 'about:blank', ...expected });
  assert.equal(typeof detail, 'string');
  return detail as string;
}

const badId = { status: 400, title: 'Bad Request', code: 'INVALID_ID' };
const badItem = { status: 400, title: 'Bad Request', code: 'INVALID_ITEM' };
const away = { status: 503, title: 'Service Unavailable', code: 'REDIS_UNAVAILABLE' };
const internal = { status: 500, title: 'Internal Server Error', code: 'INTERNAL_ERROR' };

describe('hostile ids and items', () => {
  let redis: TestRedis;
  let producer: Producer;
  let served: Served;
  before(async () => {
    redis = await startTestRedis();
    producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
    // By default, Node answers 431 to the longest; a service may have raised its limit.
    served = await serveDashboard(producer, { maxHeaderSize: 4 * MEGABYTE });
    // Creates every key of the queue that an id could hit.
    await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'bystander', item: 'chat-1' });
  });
  after(async () => {
    await served.close();
    await producer.close();
    await redis.stop();
  });

  const IDS: Record<string, string> = {
    'a NUL': '%00',
    'a NUL at the end': 'task%00',
    'a truncated character': '%c3',
    'a lone surrogate': '%ed%a0%80',
    'invalid percent-encoding': '%zz',
    'too long by one': 'a'.repeat(1_001),
    'a megabyte': 'a'.repeat(MEGABYTE),
  };
  for (const [name, id] of Object.entries(IDS)) {
    test(`an id with ${name} is refused with a short problem`, async () => {
      const detail = detailOf(await served.send('POST', `/fleet/api/tasks/stop/${id}`), badId);
      assert.match(detail, /^Bad task id: expected /);
      assert.ok(detail.length < 300, `${detail.length} characters`);
    });
  }

  // A plain BullMQ queue may use any of these.
  const STRANGE: Record<string, string> = {
    'a parent path': '..%2f',
    'a line break': 'a%0d%0aSet-Cookie:%20x=1',
    "a queue's own key": 'active',
    "another of a queue's own keys": 'meta',
    "a scheduler's key": 'repeat:nightly',
    'a colon': 'bystander:lock',
    'an emoji': encodeURIComponent('🦊'),
    'a space': '%20',
    'a glob': '*',
    'a thousand characters': 'a'.repeat(1_000),
  };
  for (const [name, id] of Object.entries(STRANGE)) {
    test(`an id with ${name} is looked up and not found`, async () => {
      const { status } = await served.send('POST', `/fleet/api/tasks/stop/${id}`);
      assert.equal(status, 404);
    });
  }

  const ITEMS: Record<string, string> = {
    'a NUL': '%00',
    'a line break': 'a%0d%0ab',
    'an escape': '%1b%5b2J',
    'a truncated character': '%c3',
    'a lone surrogate': '%ed%a0%80',
    'invalid percent-encoding': '%zz',
    'too long by one': 'a'.repeat(257),
    'a megabyte': 'a'.repeat(MEGABYTE),
    'a megabyte of slashes': '/'.repeat(MEGABYTE),
  };
  for (const [name, item] of Object.entries(ITEMS)) {
    test(`an item with ${name} is refused with a short problem`, async () => {
      for (const [method, path] of [
        ['GET', `/fleet/api/tasks/chat/${item}`],
        ['POST', `/fleet/api/tasks/chat/${item}/stop`],
      ] as const) {
        const detail = detailOf(await served.send(method, path), badItem);
        assert.match(detail, /^Bad item: expected /);
        assert.ok(detail.length < 300, `${detail.length} characters`);
      }
    });
  }

  test('refused requests change nothing', async () => {
    assert.equal((await producer.get('bystander'))?.state, 'queued');
    const keys = createKeys('taskfleet');
    const fleet = redis.client();
    assert.deepEqual(
      (await fleet.keys('*')).filter((key) => /repeat|lock$/.test(key)),
      [],
    );
    assert.deepEqual(await fleet.hkeys(keys.tasks), ['bystander']);
    // The log has refused writes only.
    assert.deepEqual(
      served.logged.filter((line) => !line.includes('"msg":"Write denied"')),
      [],
    );
  });
});

describe('while Redis is unavailable', () => {
  const ROUTES = [
    ['GET', '/api/tasks'],
    ['POST', '/api/tasks/stop/some-task'],
    ['GET', '/api/tasks/chat/chat-1'],
    ['POST', '/api/tasks/chat/chat-1/stop'],
  ] as const;

  async function all(served: Served): Promise<void> {
    await Promise.all(
      ROUTES.map(async ([method, path]) => {
        const since = performance.now();
        const answer = await served.send(method, `/fleet${path}`);
        const ms = performance.now() - since;
        const detail = detailOf(answer, away);
        assert.equal(answer.headers['retry-after'], '2');
        assert.ok(ms < 45_000, `${method} ${path} took ${Math.round(ms)} ms`);
        assert.doesNotMatch(detail, /127\.0\.0\.1|ECONNREFUSED/);
      }),
    );
  }

  test('every route that needs Redis answers 503 in time, and recovers with Redis', async (t) => {
    const redis = await startTestRedis();
    t.after(() => redis.stop());
    const producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
    t.after(() => producer.close());
    const served = await serveDashboard(producer);
    t.after(() => served.close());

    assert.equal((await served.send('GET', '/fleet/readyz')).status, 200);
    await redis.kill();
    await all(served);
    assert.equal((await served.send('GET', '/fleet/livez')).status, 200);
    await redis.restart();
    await producer.ping().catch(() => producer.ping());
    assert.deepEqual((await served.send('GET', '/fleet/api/tasks')).body, { tasks: [] });
  });

  test('Redis was never reachable', async (t) => {
    const redis = await startTestRedis();
    t.after(() => redis.stop());
    await redis.kill();
    const producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
    t.after(() => producer.close());
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    await all(served);
  });

  test('Redis hangs', async (t) => {
    const redis = await startTestRedis();
    t.after(() => redis.stop());
    const producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
    t.after(() => producer.close());
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    await producer.ping();
    process.kill(redis.pid, 'SIGSTOP');
    await all(served);
    process.kill(redis.pid, 'SIGCONT');
  });
});

describe('when a call fails', () => {
  let producer: Producer;
  beforeEach(() => {
    producer = createProducer({ redisUrl: 'redis://127.0.0.1:1', logLevel: 'silent' });
  });
  afterEach(() => producer.close());

  /** Serves a producer without a Redis whose PING succeeds, and on which only these calls work. */
  async function serveWith(calls: Partial<Producer>): Promise<Served> {
    return serveDashboard(Object.assign(producer, { ping: () => Promise.resolve() }, calls));
  }

  test('a closed producer yields 503', async (t) => {
    const served = await serveWith({ ping: () => Promise.reject(new FleetError('CLOSED', 'This producer is closed.')) });
    t.after(() => served.close());
    detailOf(await served.send('GET', '/fleet/api/tasks'), { ...away, code: 'CLOSED' });
  });

  test('an unexpected error yields 500 without details, and is logged', async (t) => {
    const served = await serveWith({ list: () => Promise.reject(new Error('secret of line 7')) });
    t.after(() => served.close());
    const answer = await served.send('GET', '/fleet/api/tasks');
    detailOf(answer, internal);
    assert.doesNotMatch(answer.text + JSON.stringify(answer.headers), /secret|line 7|\.ts|at /);
    assert.equal(served.logged.length, 1);
    assert.match(served.logged[0] ?? '', /secret of line 7/);
  });

  test('a FleetError that no client can cause yields 500 without its message', async (t) => {
    const served = await serveWith({ stopItem: () => Promise.reject(new FleetError('INVALID_SETTINGS', 'secret')) });
    t.after(() => served.close());
    const answer = await served.send('POST', '/fleet/api/tasks/chat/a/stop');
    detailOf(answer, internal);
    assert.doesNotMatch(answer.text, /secret/);
  });

  test('a list that fails midway closes the connection', async (t) => {
    let pages = 0;
    const list = async (): ReturnType<Producer['list']> => {
      if ((pages += 1) > 1) throw new Error('Redis has had enough');
      return { tasks: [{ id: 'first' }] as never, next: 'more', searched: 1, reached: null };
    };
    const served = await serveWith({ list });
    t.after(() => served.close());
    await assert.rejects(served.send('GET', '/fleet/api/tasks'), { code: 'ECONNRESET' });
    assert.equal(served.logged.length, 1);
  });
});
