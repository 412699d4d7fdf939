import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import express, { type Request, type RequestHandler } from 'express';
import { type Dashboard, type Principal, createDashboard } from '../../dashboard/index.js';
import { FleetError, httpStatusOf } from '../../index.js';
import { type Producer, createProducer } from '../../producer/index.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { resolveSettings } from '../../shared/settings/settings.js';
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
  assert.equal((await served.send('GET', '/assets/page/overview.js')).status, 200);
});

test('the handler serves the dashboard below its path, and nothing elsewhere', async (t) => {
  const served = await serve(dashboard.handler('/admin/fleet'));
  t.after(() => served.close());
  assert.deepEqual((await served.send('GET', '/admin/fleet/api/tasks')).body, { tasks: [] });
  const { status, headers } = await served.send('GET', '/admin/fleet?state=failed');
  assert.deepEqual([status, headers.location], [302, '/admin/fleet/?state=failed']);
  for (const path of ['/api/tasks', '/admin', '/admin/fleets/livez', '/ADMIN/fleet/livez', '/admin/fleet/elsewhere']) {
    const answer = await served.send('POST', path);
    assert.deepEqual([path, answer.status, (answer.body as { code: string }).code], [path, 404, 'NOT_FOUND']);
  }
});

test('the handler refuses a path that it could not serve', () => {
  dashboard.handler('');
  for (const path of ['fleet', '/fleet/', '/', '/:name', '/fl eet', '/fleet?', '//fleet', undefined]) {
    assert.throws(() => dashboard.handler(path as string), { code: 'INVALID_SETTINGS', message: /expected '' or a path like '\/fleet'/ });
  }
});

test('the handler takes the client from X-Forwarded-For of trusted proxies only', async (t) => {
  const seen: unknown[] = [];
  const auth = (req: IncomingMessage): Principal => {
    seen.push((req as Partial<Request>).ip);
    return { name: 'ada', role: 'viewer', items: null, via: 'session' };
  };
  const { handler } = createDashboard({ producer, auth });
  for (const options of [{}, { trustProxy: ['127.0.0.1'] }]) {
    const served = await serve((req, res) => {
      req.headers['x-forwarded-for'] = '192.0.2.7';
      handler('/fleet', options)(req, res);
    });
    t.after(() => served.close());
    assert.equal((await served.send('GET', '/fleet/api/tasks')).status, 200);
  }
  assert.deepEqual(seen, ['127.0.0.1', '192.0.2.7']);
});

test('a body that the app has read is an error of the app', async (t) => {
  const lines: string[] = [];
  const loggers = createLoggerFactory({ settings: resolveSettings({}), destination: { write: (line) => void lines.push(line) } });
  const handle = createDashboard({ producer, auth: false, loggers }).handler('/fleet');
  const served = await serve((req, res) => void textOf(req).then(() => handle(req, res)));
  t.after(() => served.close());
  const response = await fetch(`http://127.0.0.1:${served.port}/fleet/api/v1/tasks`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '{"name":"fleet.canary","input":{"run_ms":1}}',
  });
  assert.equal(response.status, 500);
  assert.match(lines.join(''), /mount the dashboard before its body parser/);
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
    get: (real, name) => (name === 'store' || name === 'telemetry' ? real[name] : assert.fail(`asked for ${String(name)}`)),
  });
  const served = await serveDashboard(untouchable);
  t.after(() => served.close());
  const { status, body } = await served.send('GET', '/fleet/livez');
  assert.deepEqual({ status, body }, { status: 200, body: { status: 'live' } });
});

test('no proxy compresses an event stream, and an ended one does not hold up a server that closes', async () => {
  const { handler, close } = createDashboard({ producer, auth: false });
  // Longer than the limit of a test: the server closes only once no connection is kept alive.
  const server = createServer({ keepAliveTimeout: 3_600_000 }, handler('/fleet')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stream = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/fleet/api/v1/events`);
  assert.deepEqual([stream.status, stream.headers.get('Cache-Control')], [200, 'no-store, no-transform']);
  const closed = once(server, 'close');
  server.close();
  await close();
  await stream.text();
  await closed;
});

test('routes of the app answer errors by their code', () => {
  const error = new FleetError('ITEM_BUSY', 'busy');
  assert.deepEqual([error, new FleetError('THREAD_EXITED', 'gone'), new Error('else'), null].map(httpStatusOf), [409, 500, 500, 500]);
});
