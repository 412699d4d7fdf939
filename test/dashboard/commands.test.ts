import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fleetCanary } from '../../index.js';
import type { Producer } from '../../producer/index.js';
import { createKeys } from '../../shared/keys.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { type Reply, type SendOptions, TestDashboard } from './test-dashboard.js';

const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const keys = createKeys(keyPrefix);
const producer: Producer = fleet.producer({ keyPrefix });
await producer.ping();
const dashboard = await TestDashboard.start(producer);
let browser: SendOptions;
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

before(async () => {
  const { cookie, csrf } = await dashboard.signIn(dashboard.tokens.admin);
  browser = { headers: { cookie, 'X-CSRF-Token': csrf, 'Sec-Fetch-Site': 'same-origin' } };
  // Loads the scripts, and reads the facts that each process caches.
  await producer.enqueue(fleetCanary, {}, { id: 'first', item: 'chat' });
  await dashboard.send('POST', '/api/v1/tasks/first/stop', { ...browser, body: {} });
});

async function commandsOf(request: () => Promise<Reply>, status: number): Promise<string[][]> {
  const monitor = await fleet.monitor();
  const reply = await request();
  const commands = await monitor.stop();
  assert.equal(reply.status, status, reply.text);
  return commands;
}

function pingsOf(commands: string[][]): number {
  return commands.filter(([name]) => name?.toLowerCase() === 'ping').length;
}

/** Counts the scripts that locate a task, by the commands that MONITOR shows for them. */
function lookUpsOf(commands: string[][]): number {
  return commands.filter(([name, key]) => name === 'HMGET' && key === keys.tasks).length;
}

/** Counts the scripts that read a task's job; the script that records the stop does not read its progress. */
function readsOf(commands: string[][], id: string): number {
  const reads = commands.filter(([name, key]) => name === 'HMGET' && key === keys.jobs('fleet') + id);
  return reads.filter((words) => words.includes('progress')).length;
}

const STOPS: readonly (readonly [title: string, path: (id: string) => string, options: () => SendOptions])[] = [
  ['an operator', (id) => `/api/v1/tasks/${id}/stop`, () => ({ token: dashboard.tokens.operator, body: {} })],
  ['a submitter with item patterns', (id) => `/api/v1/tasks/${id}/stop`, () => ({ token: dashboard.tokens['alice-submitter'], body: {} })],
  ['a signed-in browser', (id) => `/api/v1/tasks/${id}/stop`, () => ({ ...browser, body: {} })],
  ["a client of open-webui's route", (id) => `/api/tasks/stop/${id}`, () => ({ token: dashboard.tokens.operator })],
];
STOPS.forEach(([title, path, options], index) => {
  test(`a stop by ${title} looks the task up once and sends one PING`, async () => {
    const id = `task-${index}`;
    await producer.enqueue(fleetCanary, {}, { id, item: 'alice:1' });
    const commands = await commandsOf(() => dashboard.send('POST', path(id), options()), 200);
    assert.deepEqual(
      { lookUps: lookUpsOf(commands), reads: readsOf(commands, id), pings: pingsOf(commands) },
      { lookUps: 1, reads: 1, pings: 1 },
    );
    assert.equal((await producer.get(id))?.state, 'cancelled');
  });
});

test('a stop of a finished or missing task looks it up once', async () => {
  for (const [id, status] of [
    ['first', 200],
    ['missing', 404],
  ] as const) {
    const commands = await commandsOf(() => dashboard.send('POST', `/api/v1/tasks/${id}/stop`, { ...browser, body: {} }), status);
    assert.deepEqual([lookUpsOf(commands), pingsOf(commands)], [1, 1]);
  }
});

test('a refused stop records nothing and publishes no command', async () => {
  await producer.enqueue(fleetCanary, {}, { id: 'hidden', item: 'bob:1' });
  const stop = (): Promise<Reply> =>
    dashboard.send('POST', '/api/v1/tasks/hidden/stop', { token: dashboard.tokens['alice-operator'], body: {} });
  const commands = await commandsOf(stop, 404);
  assert.equal(lookUpsOf(commands), 1);
  assert.deepEqual(
    commands.filter(([name]) => name === 'publish'),
    [],
  );
  assert.deepEqual([(await producer.get('hidden'))?.state, (await producer.get('hidden'))?.stop], ['queued', null]);
});

const REQUESTS: readonly (readonly [method: string, path: string, status: number, body?: object])[] = [
  ['GET', '/', 200],
  ['GET', '/api/v1/me', 200],
  ['GET', '/api/v1/tasks', 200],
  ['GET', '/api/v1/tasks/first', 200],
  ['POST', '/api/v1/tasks', 202, { name: 'fleet.canary' }],
  ['POST', '/api/v1/tasks/first/retry', 200, {}],
  ['GET', '/api/v1/items/chat/tasks', 200],
  ['POST', '/api/v1/items/chat/stop', 200, {}],
  ['GET', '/api/v1/workers', 200],
  ['GET', '/api/v1/schedules', 200],
  ['GET', '/api/v1/stats', 200],
  ['GET', '/api/v1/usage', 200],
  ['GET', '/api/v1/audit', 200],
  ['GET', '/api/tasks', 200],
  ['POST', '/api/tasks/chat/chat/stop', 200],
  ['GET', '/board/api/queues', 200],
  ['GET', '/metrics', 200],
  ['GET', '/readyz', 200],
  ['POST', '/sign-out', 303],
];
test('no request sends more than one PING', async () => {
  for (const [method, path, status, body] of REQUESTS) {
    const pings = pingsOf(await commandsOf(() => dashboard.send(method, path, { ...browser, ...(body && { body: { ...body } }) }), status));
    assert.ok(pings <= 1, `${method} ${path}: ${pings} PINGs`);
  }
});
