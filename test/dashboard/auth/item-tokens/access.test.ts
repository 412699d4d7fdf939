import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ROUTES } from '../../../../dashboard/api/api.js';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { EventClient } from '../../api/stream/event-client.js';
import { type Reply, TestDashboard } from '../../test-dashboard.js';
import { issueToken } from './issue-token.js';

const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const note = new ScriptedTask('note.write');
const secret = new ScriptedTask('secret.plan');
const perTenant = new ScriptedTask('tenant.sync', { concurrency: { limit: 1, by: () => 'tenant-7' }, whenBusy: 'stop-previous' });
const perItem = new ScriptedTask('chat.answer', { concurrency: { limit: 1, by: 'item' }, whenBusy: 'stop-previous' });
const merged = new ScriptedTask('mail.digest', { dedupe: { by: () => 'all' } });
const definitions = [note, secret, perTenant, perItem, merged].map(({ definition }) => definition);
let producer: Producer;
let dashboard: TestDashboard;
let operator: string;
let viewer: string;

before(async () => {
  producer = fleet.producer({ keyPrefix });
  dashboard = await TestDashboard.start(producer, {}, { definitions });
  const tasks = definitions.map(({ name }) => name).filter((name) => name !== 'secret.plan');
  ({ token: operator } = await issueToken(dashboard, { tasks }));
  ({ token: viewer } = await issueToken(dashboard, { role: 'viewer' }));
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const add = async (item?: string): Promise<string> => (await producer.enqueue(note.definition, {}, { item })).id;
const stateOf = async (id: string): Promise<string | undefined> => (await producer.get(id))?.state;
const write = (path: string, body: Readonly<Record<string, unknown>>, token = operator): Promise<Reply> =>
  dashboard.send('POST', `/api/v1${path}`, { token, body });

/** The routes for item tokens, with the statuses of a viewer and of an operator for a task of their item and for one of another. */
const OPEN: Readonly<Record<string, { readonly own: readonly [number, number]; readonly other: readonly [number, number] }>> = {
  'get /me': { own: [200, 200], other: [200, 200] },
  'get /tasks': { own: [200, 200], other: [200, 200] },
  'get /tasks/count': { own: [200, 200], other: [200, 200] },
  'get /tasks/{id}': { own: [200, 200], other: [404, 404] },
  'get /tasks/{id}/input': { own: [403, 200], other: [403, 404] },
  'get /tasks/{id}/related': { own: [200, 200], other: [404, 404] },
  'get /tasks/{id}/logs': { own: [200, 200], other: [404, 404] },
  'get /items/{item}/tasks': { own: [200, 200], other: [200, 200] },
  'post /items/{item}/stop': { own: [403, 200], other: [403, 200] },
  'post /tasks/{id}/stop': { own: [403, 200], other: [403, 404] },
  // Cancelled by the stop before it.
  'post /tasks/{id}/retry': { own: [403, 200], other: [403, 404] },
  'post /tasks': { own: [403, 202], other: [403, 403] },
  // Streams, which the next tests follow.
  'get /events': { own: [200, 200], other: [200, 200] },
  'get /tasks/{id}/events': { own: [200, 200], other: [404, 404] },
};

test('a token reaches the routes for item tokens with the rights of its role, and no other route', async () => {
  const known = new Set(ROUTES.map(({ method, path }) => `${method} ${path}`));
  assert.deepEqual(
    Object.keys(OPEN).filter((route) => !known.has(route)),
    [],
  );
  const ids = { own: await add('mine'), other: await add('other') };
  for (const route of Object.keys(OPEN).concat([...known].filter((each) => !(each in OPEN)))) {
    const [method = '', template = ''] = route.split(' ');
    for (const whose of ['own', 'other'] as const) {
      const item = whose === 'own' ? 'mine' : 'other';
      const path = template
        .replace('{id}', ids[whose])
        .replace('{item}', item)
        .replaceAll(/\{\w+\}/g, 'x');
      const body = route === 'post /tasks' ? { name: 'note.write', item } : {};
      const got: number[] = [];
      for (const token of [viewer, operator]) {
        const options = { token, ...(method === 'post' || method === 'put' ? { body } : {}) };
        const isStream = path.endsWith('/events');
        got.push(
          isStream ? await statusOfStream(path, token) : (await dashboard.send(method.toUpperCase(), `/api/v1${path}`, options)).status,
        );
      }
      assert.deepEqual(got, OPEN[route]?.[whose] ?? [403, 403], `${route}, ${whose}`);
    }
  }
  assert.equal(await stateOf(ids.other), 'queued');
});

async function statusOfStream(path: string, token: string): Promise<number> {
  const client = await EventClient.open(dashboard.port, path, { headers: { Authorization: `Bearer ${token}` } });
  client.leave();
  return client.status;
}

test('pages, the board, metrics, the API document and the routes of open-webui refuse item tokens', async () => {
  const id = await add('mine');
  for (const [method, path] of [
    ...['/', '/tasks', `/tasks/${id}`, '/board', '/board/api/queues', '/metrics', '/openapi.json', '/docs'].map(
      (each) => ['GET', each] as const,
    ),
    ...['/api/tasks', '/api/tasks/chat/mine'].map((each) => ['GET', each] as const),
    ...[`/api/tasks/stop/${id}`, '/api/tasks/chat/mine/stop'].map((each) => ['POST', each] as const),
  ])
    assert.equal((await dashboard.send(method, path, { token: operator })).status, 403, path);
  assert.equal(await stateOf(id), 'queued');
  // A sign-in would turn fifteen minutes into twelve hours.
  assert.equal((await dashboard.signIn(operator)).reply.status, 401);
});

test('a task of another item cannot be told from one that does not exist', async () => {
  const hidden = await add('other');
  await producer.stop(hidden);
  for (const [method, path, body] of [
    ...['', '/input', '/related', '/logs', '/events'].map((part) => ['GET', `/tasks/ID${part}`, undefined] as const),
    ...['/stop', '/retry'].map((part) => ['POST', `/tasks/ID${part}`, {}] as const),
  ]) {
    const [there, not] = await Promise.all(
      [hidden, 'never-was'].map(async (id) => {
        const { status, text } = await dashboard.send(method, `/api/v1${path.replace('ID', id)}`, { token: operator, body });
        return `${status} ${text.replaceAll(id, 'ID').replace(/"request_id":"[^"]+"/, '')}`;
      }),
    );
    assert.match(there ?? '', /^404 /);
    assert.equal(there, not, path);
  }
  const stop = (item: string): Promise<Reply> => write(`/items/${item}/stop`, {});
  assert.deepEqual((await stop('other')).body, (await stop('no-such-item')).body);
});

test('lists, counts and the list stream have tasks of the item only', async () => {
  const mine = await add('mine');
  const client = await EventClient.open(dashboard.port, '/events', { headers: { Authorization: `Bearer ${viewer}` } });
  await client.until((heard) => heard.length > 0);
  const [other, bare, next] = [await add('other'), await add(), await add('mine')];
  await client.until((heard) => JSON.stringify(heard).includes(next));
  await producer.stop([other, bare, mine]);
  await client.until((heard) =>
    heard.some(({ event, data }) => event === 'change' && JSON.stringify(data).includes(`"removed":["${mine}`)),
  );
  client.leave();
  const heard = JSON.stringify(client.heard);
  const page = await dashboard.send('GET', '/api/v1/tasks?limit=1000&state=all', { token: viewer });
  for (const [text, where] of [
    [heard, 'stream'],
    [page.text, 'list'],
  ] as const)
    for (const id of [other, bare]) assert.ok(!text.includes(id), `${where}: ${id}`);
  assert.ok(page.text.includes(mine));
  const { tasks } = page.body as { tasks: { item: string }[] };
  assert.deepEqual([...new Set(tasks.map(({ item }) => item))], ['mine']);
  const count = async (token: string): Promise<number> =>
    ((await dashboard.send('GET', '/api/v1/tasks/count?state=all', { token })).body as { count: number }).count;
  assert.equal(await count(viewer), tasks.length);
  assert.ok((await count(dashboard.tokens.viewer)) > tasks.length);
  assert.deepEqual(((await dashboard.send('GET', '/api/v1/items/other/tasks', { token: viewer })).body as { tasks: unknown }).tasks, []);
});

test('an enqueue is for the named tasks and the own item, and chooses nothing that could meet other tasks', async () => {
  const theirs = await producer.enqueue(note.definition, {}, { id: 'their-id', item: 'other', dedupe: { key: 'their-key' } });
  for (const [body, field] of [
    [{ name: 'secret.plan', item: 'mine' }, 'name'],
    [{ name: 'no.such.task', item: 'mine' }, 'name'],
    [{ name: 'note.write' }, 'item'],
    [{ name: 'note.write', item: 'other' }, 'item'],
    [{ name: 'note.write', item: 'mine*' }, 'item'],
    [{ name: 'note.write', item: 'mine', id: theirs.id }, 'id'],
    [{ name: 'note.write', item: 'mine', id: 'free-id' }, 'id'],
    [{ name: 'note.write', item: 'mine', dedupe: { key: 'their-key' } }, 'dedupe'],
    [{ name: 'note.write', item: 'mine', dedupe: null }, 'dedupe'],
    [{ name: 'note.write', item: 'mine', tags: ['tenant:8'] }, 'tags'],
    [{ name: 'note.write', item: 'mine', priority: 1 }, 'priority'],
  ] as const) {
    const { status, text, body: problem } = await write('/tasks', body);
    assert.deepEqual([status, (problem as { errors: { field: string }[] }).errors[0]?.field], [403, field], text);
    assert.ok(!/secret|known|fleet\.canary/.test(text.replaceAll(body.name, '')), text);
  }
  assert.equal((await write('/tasks', { name: 'note.write', item: 'mine' }, viewer)).status, 403);
  // The definition's own key is shared by all items: the answer says nothing about the task that stands for it.
  const standing = await producer.enqueue(merged.definition, {}, { item: 'other' });
  const refused = await write('/tasks', { name: 'mail.digest', item: 'mine' });
  assert.equal(refused.status, 403);
  assert.ok(!refused.text.includes(standing.id));
});

test('an enqueue stops previous tasks of its own item, and is refused if the key includes other items', async () => {
  const [theirs, previous] = [
    await producer.enqueue(perTenant.definition, {}, { item: 'other' }),
    await producer.enqueue(perItem.definition, {}, { item: 'mine' }),
  ];
  for (const policy of [{}, { when_busy: 'stop-previous' }, { on_busy: 'replace-waiting' }])
    assert.equal((await write('/tasks', { name: 'tenant.sync', item: 'mine', ...policy })).status, 403);
  const lined = await write('/tasks', { name: 'tenant.sync', item: 'mine', when_busy: 'reject' });
  assert.deepEqual([lined.status, lined.text.includes(theirs.id)], [409, false]);
  assert.equal(await stateOf(theirs.id), 'queued');
  const added = await write('/tasks', { name: 'chat.answer', item: 'mine' });
  assert.deepEqual([added.status, await stateOf(previous.id)], [202, 'cancelled']);
});

test('a repeated Idempotency-Key is answered to tokens of the same rights only', async () => {
  const send = (token: string, item = 'mine'): Promise<Reply> =>
    dashboard.send('POST', '/api/v1/tasks', { token, body: { name: 'note.write', item }, headers: { 'Idempotency-Key': 'k-1' } });
  const [renewed, again, others] = [
    await issueToken(dashboard),
    await issueToken(dashboard),
    await issueToken(dashboard, { items: ['other', 'mine'] }),
  ];
  const first = await send(renewed.token);
  assert.deepEqual((await send(again.token)).body, first.body);
  const apart = await send(others.token);
  assert.equal(apart.status, 202);
  assert.notDeepEqual(apart.body, first.body);
});

test('errors and logs have no stack traces, whatever the role', async () => {
  const worker = await fleet.worker(keyPrefix, [note.handler]);
  const { id } = await producer.enqueue(note.definition, {}, { item: 'mine' });
  for (let call = 0; ; call += 1) {
    const { context, throws } = await note.call(call);
    context.log.error({ err: new Error('inner'), stack: 'at secret.ts:1' }, 'about to fail');
    throws(new Error('broken'));
    if (context.id === id) break;
  }
  await assert.rejects(producer.result(id));
  for (const part of ['', '/logs']) {
    const [mine, all] = await Promise.all(
      [operator, dashboard.tokens.operator].map((token) => dashboard.send('GET', `/api/v1/tasks/${id}${part}`, { token })),
    );
    assert.equal(mine?.status, 200);
    assert.ok(!/\.ts:\d/.test(mine?.text ?? ''), mine?.text);
    assert.match(all?.text ?? '', /\.ts:\d/);
  }
  await worker.stop();
});

test('a list does not tell how many tasks another item has', async () => {
  await add('theirs');
  const mine = await add('mine');
  for (const [query, ids] of [
    ['item=theirs', []],
    ['name=note.write&item=mine&limit=1', [mine]],
  ] as const) {
    const { body } = await dashboard.send('GET', `/api/v1/tasks?${query}`, { token: viewer });
    const { tasks, searched } = body as { tasks: { id: string }[]; searched: number };
    assert.deepEqual([tasks.map(({ id }) => id), searched], [ids, ids.length]);
  }
});
