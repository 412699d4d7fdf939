import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import express, { type RequestHandler } from 'express';
import { type Dashboard, createDashboard } from '../../dashboard/index.js';
import { type Producer, createProducer } from '../../producer/index.js';
import { type TestRedis, startTestRedis } from '../support/redis/test-redis.js';
import { type Served, serve, serveDashboard } from './serve-dashboard.js';

let redis: TestRedis;
let producer: Producer;
let dashboard: Dashboard;

before(async () => {
  redis = await startTestRedis();
  producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
  dashboard = createDashboard({ producer, auth: false });
});
after(async () => {
  await producer.close();
  await redis.stop();
});

test("Express accepts the router, and its type does not depend on Express's types", async (t) => {
  const handler: RequestHandler = dashboard.router;
  const app = express()
    .use('/fleet', dashboard.router)
    .use('/behind', (_req, _res, next) => next(), handler);
  const served = await serve(app);
  t.after(() => served.close());
  assert.deepEqual((await served.send('GET', '/fleet/livez')).body, { status: 'live' });
  assert.equal((await served.send('GET', '/behind/readyz')).status, 200);
});

test('the router works without an Express app', async (t) => {
  const served = await serve((req, res) => dashboard.router(req, res, () => res.writeHead(404).end()));
  t.after(() => served.close());
  assert.deepEqual((await served.send('GET', '/api/tasks')).body, { tasks: [] });
  assert.equal((await served.send('POST', '/api/tasks/stop/nobody')).status, 404);
  assert.equal((await served.send('POST', '/api/tasks/stop/a%00b')).status, 400);
  assert.equal((await served.send('GET', '/elsewhere')).status, 404);
});

test('requests without a route are passed to the app', async (t) => {
  const served: Served = await serveDashboard(producer);
  t.after(() => served.close());
  for (const [method, path] of [
    ['POST', '/fleet'],
    ['GET', '/fleet/workers/'],
    ['GET', '/fleet/api'],
    ['GET', '/fleet/API/TASKS'],
    ['POST', '/fleet/api/tasks'],
    ['GET', '/fleet/api/tasks/stop/some-task'],
    ['POST', '/fleet/api/tasks/stop/'],
    ['POST', '/fleet/api/tasks/stop/a/b'],
    ['GET', '/fleet/api/tasks/chat/'],
    ['GET', '/api/tasks'],
    ['GET', '/elsewhere/%zz'],
  ] as const) {
    const { status, text } = await served.send(method, path);
    assert.deepEqual([path, status, text], [path, 404, 'the app has no such page']);
  }
});

test('errors of the app are passed to the app', async (t) => {
  const app = express();
  app.use((_req, _res, next) => next(new Error('of the app')));
  app.use('/fleet', dashboard.router);
  app.use(((_error, _req, res, _next) => void res.status(418).end()) as express.ErrorRequestHandler);
  const served = await serve(app);
  t.after(() => served.close());
  assert.equal((await served.send('GET', '/fleet/livez')).status, 418);
});

test('closing the dashboard leaves the producer open', async (t) => {
  const served = await serveDashboard(producer);
  t.after(() => served.close());
  await served.send('GET', '/fleet/api/tasks');
  await producer.ping();
});

test('/livez does not use Redis', async (t) => {
  const untouchable = new Proxy(producer, {
    get: (real, name) => (name === 'store' ? real.store : assert.fail(`asked for ${String(name)}`)),
  });
  const served = await serveDashboard(untouchable);
  t.after(() => served.close());
  const { status, body } = await served.send('GET', '/fleet/livez');
  assert.deepEqual({ status, body }, { status: 200, body: { status: 'live' } });
});
