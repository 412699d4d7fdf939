import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createProducer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';
import { type Reply, TestDashboard } from '../test-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

function codeOf({ body }: Reply): unknown {
  return (body as { code?: unknown } | undefined)?.code;
}

test('a caller over the limit gets 429 with Retry-After; other callers do not', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiRateLimit: 3 });
  t.after(() => dashboard.stop());
  const ask = (who: 'viewer' | 'admin'): Promise<Reply> => dashboard.send('GET', '/api/v1/me', { token: dashboard.tokens[who] });
  const answers: Reply[] = [];
  for (let n = 0; n < 5; n += 1) answers.push(await ask('viewer'));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 429, 429],
  );
  const last = answers.at(-1) as Reply;
  assert.equal(codeOf(last), 'TOO_MANY_REQUESTS');
  assert.ok(Number(last.headers['retry-after']) > 0 && Number(last.headers['retry-after']) <= 60);
  assert.equal((await ask('admin')).status, 200);
});

test('replicas share the counters', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const first = await TestDashboard.start(fleet.producer({ keyPrefix }), { apiRateLimit: 2 });
  const second = await TestDashboard.start(fleet.producer({ keyPrefix }), {
    apiRateLimit: 2,
    apiTokens: [],
    jwtIssuer: 'i',
    jwtAudience: 'a',
    jwtSecret: 'x'.repeat(32),
  });
  t.after(() => Promise.all([first.stop(), second.stop()]));
  await first.send('GET', '/api/v1/me', { token: first.tokens.viewer });
  const keys = await fleet.client.keys(`${keyPrefix}:dashboard:limits:requests:*`);
  assert.equal(keys.length, 1);
  await fleet.client.set(keys[0] as string, '2', 'KEEPTTL');
  assert.equal((await first.send('GET', '/api/v1/me', { token: first.tokens.viewer })).status, 429);
});

test('after too many failed sign-ins the right token is refused too; sessions and bearer tokens still work', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const dashboard = await TestDashboard.start(fleet.producer({ keyPrefix }), { apiFailureLimit: 4 });
  t.after(() => dashboard.stop());
  const { cookie } = await dashboard.signIn(dashboard.tokens.viewer);
  // A successful sign-in is uncounted after its answer.
  const [counter = ''] = await fleet.client.keys(`${keyPrefix}:dashboard:limits:sign-ins:*`);
  await until(
    () => fleet.client.get(counter),
    (count) => count === null || count === '0',
  );
  const statuses = await Promise.all(Array.from({ length: 12 }, async () => (await dashboard.signIn('wrong')).reply.status));
  assert.deepEqual(
    statuses.toSorted((a, b) => a - b),
    [...Array.from({ length: 4 }, () => 401), ...Array.from({ length: 8 }, () => 429)],
  );
  const right = await dashboard.signIn(dashboard.tokens.viewer, { Accept: 'text/html' });
  assert.equal(right.reply.status, 429);
  assert.ok(Number(right.reply.headers['retry-after']) > 0);
  assert.match(right.reply.text, /role="alert">Too many failed sign-ins/);
  assert.equal((await dashboard.send('GET', '/api/v1/me', { headers: { Cookie: cookie } })).status, 200);
  assert.equal((await dashboard.send('GET', '/api/v1/me', { token: dashboard.tokens.viewer })).status, 200);
});

test('successful sign-ins are not counted', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const dashboard = await TestDashboard.start(fleet.producer({ keyPrefix }), { apiFailureLimit: 2 });
  t.after(() => dashboard.stop());
  for (let n = 0; n < 5; n += 1) assert.equal((await dashboard.signIn(dashboard.tokens.viewer)).reply.status, 303);
});

test('wrong bearer tokens are counted by address and do not lock out the right one', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiFailureLimit: 2 });
  t.after(() => dashboard.stop());
  const answers: number[] = [];
  for (let n = 0; n < 4; n += 1) answers.push((await dashboard.send('GET', '/api/v1/me', { token: `wrong-${n}` })).status);
  assert.deepEqual(answers, [401, 401, 429, 429]);
  assert.equal((await dashboard.send('GET', '/api/v1/me', { token: dashboard.tokens.viewer })).status, 200);
});

test("the address is the peer's, unless a proxy is trusted", async (t) => {
  const keyPrefix = fleet.newPrefix();
  const plain = await TestDashboard.start(fleet.producer({ keyPrefix }));
  const behind = await TestDashboard.start(fleet.producer({ keyPrefix }), { apiTrustProxy: ['1'] });
  t.after(() => Promise.all([plain.stop(), behind.stop()]));
  const headers = { 'X-Forwarded-For': '203.0.113.1, 198.51.100.7' };
  const counted = async (): Promise<string[]> =>
    (await fleet.client.keys(`${keyPrefix}:dashboard:limits:failures:*`)).map((key) => key.split('address:')[1] ?? '').toSorted();
  await plain.send('GET', '/api/v1/me', { token: 'wrong', headers });
  assert.deepEqual(await counted(), ['127.0.0.1']);
  await behind.send('GET', '/api/v1/me', { token: 'wrong', headers });
  assert.deepEqual(await counted(), ['127.0.0.1', '198.51.100.7']);
});

test('counting survives a script flush in Redis', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiRateLimit: 2 });
  t.after(() => dashboard.stop());
  const ask = async (): Promise<number> => (await dashboard.send('GET', '/api/v1/me', { token: dashboard.tokens.viewer })).status;
  assert.equal(await ask(), 200);
  await fleet.client.script('FLUSH');
  assert.deepEqual([await ask(), await ask()], [200, 429]);
});

test('without Redis, limits delay and refuse no request; counting resumes afterwards', async (t) => {
  const redis = await startTestRedis();
  const producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
  const dashboard = await TestDashboard.start(producer, { apiRateLimit: 2 });
  t.after(async () => {
    await dashboard.stop();
    await producer.close();
    await redis.stop();
  });
  const { viewer } = dashboard.tokens;
  await producer.ping();
  const cases = async (): Promise<unknown[]> => {
    const since = performance.now();
    const [nothing, wrong, session, signIn] = await Promise.all([
      // Behind the limit, without Redis.
      dashboard.send('GET', '/api/v1/nothing', { token: viewer }),
      dashboard.send('GET', '/api/v1/me', { token: 'wrong' }),
      dashboard.send('GET', '/api/v1/me', { headers: { Cookie: `taskfleet=${'A'.repeat(43)}` } }),
      dashboard.signIn(viewer),
    ]);
    assert.ok(performance.now() - since < 45_000);
    assert.ok(session.headers['retry-after'] && !signIn.cookie);
    return [nothing.status, wrong.status, session.status, codeOf(session), signIn.reply.status];
  };
  process.kill(redis.pid, 'SIGSTOP');
  assert.deepEqual(await cases(), [404, 401, 503, 'REDIS_UNAVAILABLE', 503]);
  process.kill(redis.pid, 'SIGCONT');
  await redis.kill();
  assert.deepEqual(await cases(), [404, 401, 503, 'REDIS_UNAVAILABLE', 503]);
  await redis.restart();
  await producer.ping().catch(() => producer.ping());
  const answers: number[] = [];
  for (let n = 0; n < 3; n += 1) answers.push((await dashboard.send('GET', '/api/v1/me', { token: viewer })).status);
  assert.deepEqual(answers, [200, 200, 429]);
});
