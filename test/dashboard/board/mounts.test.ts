import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, after, test } from 'node:test';
import express, { type Express } from 'express';
import { type Principal, type Role, createDashboard } from '../../../dashboard/index.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());
const board = await TestBoard.open(fleet);
after(() => board.close());

interface Queues {
  readonly queues: readonly { readonly jobs: readonly { readonly externalUrl: { readonly href: string } }[] }[];
}

const admin: Principal = { name: 'admin', role: 'admin', items: null, via: 'token' };
const loggers = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) });

test('one board works at two mounts at once', async (t) => {
  await board.add();
  const { router } = createDashboard({ producer: board.producer, auth: () => admin, loggers });
  const url = await serve(t, express().use('/fleet', router).use('/a/:tenant', router));
  const [one, other, queues] = await Promise.all([
    fetch(`${url}/fleet/board`, { headers: { Accept: 'text/html' } }).then((answer) => answer.text()),
    fetch(`${url}/a/%3Cb%3E/board/queue/note`, { headers: { Accept: 'text/html' } }).then((answer) => answer.text()),
    fetch(`${url}/fleet/board/api/queues?activeQueue=note`).then((answer) => answer.json() as Promise<Queues>),
  ]);
  assert.match(one, /<base href="\/fleet\/board\/" \/>/);
  assert.match(other, /<base href="\/a\/%3Cb%3E\/board\/" \/>/);
  const links = queues.queues.flatMap(({ jobs }) => jobs).map(({ externalUrl }) => externalUrl.href);
  assert.deepEqual(new Set(links.map((link) => link.slice(0, '/fleet/tasks/'.length))), new Set(['/fleet/tasks/']));
  assert.equal((await fetch(`${url}/fleet/board/static/images/logo.svg`)).status, 200);
  const { message } = (await (await fetch(`${url}/fleet/board/api/queues/note/empty`, { method: 'PUT' })).json()) as { message: string };
  assert.match(message, /on the Tasks page.*: \/fleet\/$/);
});

test('roles are enforced below the path of another app', async (t) => {
  const auth = ({ headers }: { headers: Record<string, unknown> }): Principal => ({ ...admin, name: 'a', role: headers['x-role'] as Role });
  const { router } = createDashboard({ producer: board.producer, auth, loggers });
  const url = `${await serve(t, express().use('/ops/fleet', router))}/ops/fleet/board/api/queues/note`;
  const pause = async (role: Role): Promise<number> => (await fetch(`${url}/pause`, { method: 'PUT', headers: { 'X-Role': role } })).status;
  assert.equal(await pause('viewer'), 403);
  assert.equal(await board.queue.isPaused(), false);
  assert.equal(await pause('operator'), 200);
  assert.equal(await board.queue.isPaused(), true);
  await board.queue.resume();
});

test('the audit has the client address given by a trusted proxy', async (t) => {
  const { router } = createDashboard({ producer: board.producer, auth: () => admin, loggers });
  const app = express().use('/fleet', router);
  const url = `${await serve(t, app)}/fleet/board/api/queues`;
  const addresses: (string | undefined)[] = [];
  for (const trusted of [1, 0]) {
    app.set('trust proxy', trusted);
    for (const path of ['/note/resume', '/no/such/write'])
      await fetch(url + path, { method: 'PUT', headers: { 'X-Forwarded-For': '203.0.113.9' } });
    for (const stream of [board.keys.audit, board.keys.auditDenied]) {
      const fields = (await fleet.client.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[1] ?? [];
      addresses.push(fields[fields.indexOf('address') + 1]);
    }
  }
  assert.deepEqual(addresses, ['203.0.113.9', '203.0.113.9', '127.0.0.1', '127.0.0.1']);
});

test('the board answers 503 while Redis hangs', async (t) => {
  const proxy = await FaultProxy.start(fleet.redis.port);
  const held = proxy.halfOpenAt('hold-here');
  const producer = fleet.producer({ redisUrl: proxy.url });
  t.after(() => proxy.stop());
  await producer.ping();
  void producer.store.redis.echo('hold-here').catch(() => undefined);
  await held;
  const { router } = createDashboard({ producer, auth: () => admin, loggers });
  const url = `${await serve(t, express().use(router))}/board/api/queues`;
  const answers = await Promise.all([fetch(url), fetch(`${url}/note/pause`, { method: 'PUT' })]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    [503, 503],
  );
});

test('the board answers 503 within two seconds without Redis and does not disclose its address', async (t) => {
  const producer = fleet.producer({ redisUrl: 'redis://user:hidden-word@127.0.0.1:1', connectTimeoutMs: 300 });
  const { router } = createDashboard({ producer, auth: () => admin, loggers });
  const url = `${await serve(t, express().use(router))}/board/api/queues`;
  for (const [method, path] of [
    ['GET', ''],
    ['PUT', '/note/pause'],
  ] as const) {
    const answer = await fetch(url + path, { method, signal: AbortSignal.timeout(2_000) });
    assert.equal(answer.status, 503);
    assert.equal(answer.headers.get('retry-after'), '2');
    const text = await answer.text();
    assert.doesNotMatch(text, /hidden-word|127\.0\.0\.1/);
    assert.match(text, /ERRORS.REDIS_UNAVAILABLE/);
  }
});

/** Serves an app on loopback until the test ends. */
async function serve(t: TestContext, app: Express): Promise<string> {
  const server = createServer(app).listen(0, '127.0.0.1');
  t.after(() => server.close().closeAllConnections());
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
