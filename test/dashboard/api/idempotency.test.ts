import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { canonical, idOfKey } from '../../../dashboard/api/idempotency.js';
import { callerKeyOf } from '../../../dashboard/auth/principal.js';
import type { Producer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { freshApi } from './fresh-api.js';
import { type Sent, type SendOptions, type ServedApi } from './serve-api.js';

const fleet = await TestFleet.start();
let keyPrefix: string;
let producer: Producer;
let api: ServedApi;
freshApi(fleet, (fresh) => ({ keyPrefix, producer, api } = fresh));
after(() => fleet.stop());

const KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"';
const add = (json: object, { key = KEY, ...options }: SendOptions & { key?: string } = {}): Promise<Sent> =>
  api.send('POST', '/tasks', { json: { name: 'fleet.canary', ...json }, headers: { 'idempotency-key': key }, ...options });
const codeOf = ({ body }: Sent): string => (body as { code: string }).code;
const live = async (): Promise<number> => (await producer.list()).tasks.length;

test('the same key and body yield the same answer and one task', async () => {
  const first = await add({ item: 'a', input: { run_ms: 5, mode: 'deaf' } });
  // Neither the order of the fields nor quotes around the key matter.
  const second = await add({ input: { mode: 'deaf', run_ms: 5 }, item: 'a' }, { key: KEY.replaceAll('"', '') });
  assert.equal(first.status, 202);
  assert.deepEqual([second.status, second.text, second.headers.location], [202, first.text, first.headers.location]);
  assert.equal(await live(), 1);
});

test('another body is a conflict and enqueues nothing', async () => {
  await add({ item: 'a' });
  const sent = await add({ item: 'b' });
  assert.deepEqual([sent.status, codeOf(sent)], [422, 'IDEMPOTENCY_CONFLICT']);
  assert.equal(await live(), 1);
});

test('keys of different callers are independent', async () => {
  await add({ item: 'mine' }, { as: 'owner' });
  assert.equal((await add({ item: 'other' }, { as: 'operator' })).status, 202);
  assert.equal(await live(), 2);
});

test('of concurrent requests one enqueues the task; the others get its answer or a conflict', async () => {
  const sent = await Promise.all(Array.from({ length: 20 }, () => add({})));
  const added = sent.filter(({ status }) => status === 202);
  assert.ok(added.length >= 1);
  assert.equal(new Set(added.map((one) => one.text)).size, 1);
  for (const one of sent) assert.ok(one.status === 202 || codeOf(one) === 'IDEMPOTENCY_IN_PROGRESS');
  assert.equal(await live(), 1);
});

test('a refused request leaves its key unused', async () => {
  assert.equal((await add({ input: { run_ms: 'x' } })).status, 400);
  await producer.enqueue(fleetCanary, {}, { item: 'busy', id: 'there' });
  assert.equal((await add({ item: 'busy', on_busy: 'reject' })).status, 409);
  assert.equal((await add({})).status, 202);
});

test('a repeat after a crash enqueues no second task', async () => {
  const keys = createKeys(keyPrefix);
  const body = { name: 'fleet.canary', item: 'a' };
  // The crashed process had claimed the key and enqueued the task, without storing an answer.
  await add({ item: 'a' });
  const [record = ''] = await fleet.client.keys(keys.idempotency('*'));
  await fleet.client.hdel(record, 'answer');
  await fleet.client.hset(record, 'owner', 'crashed', 'until', Date.now() + 60_000);
  assert.equal(codeOf(await add({ item: 'a' })), 'IDEMPOTENCY_IN_PROGRESS');
  assert.equal(codeOf(await add({ item: 'b' })), 'IDEMPOTENCY_CONFLICT');
  await fleet.client.hset(record, 'until', Date.now() - 1);
  const repeated = await add({ item: 'a' });
  assert.equal(
    (repeated.body as { id: string }).id,
    idOfKey({ key: KEY.replaceAll('"', ''), caller: callerKeyOf({ name: 'admin' }), body: canonical(body) }),
  );
  assert.equal(await live(), 1);
});

test('the record of a key lasts a day and does not name its caller', async () => {
  await add({ item: 'secret-item', input: { run_ms: 4_242 } });
  const [record = ''] = await fleet.client.keys(`${keyPrefix}:dashboard:idempotency:*`);
  assert.match(record, /:[0-9a-f]{64}$/);
  const left = await fleet.client.pttl(record);
  assert.ok(left > 86_000_000 && left <= 86_400_000);
  assert.doesNotMatch(JSON.stringify(await fleet.client.hgetall(record)), /8e03978e|4242/);
});

for (const [what, key] of [
  ['an empty key', '""'],
  ['a long key', 'k'.repeat(256)],
  ['a key with a quote inside', 'a"b'],
  ['a key with spaces', 'a b'],
] as const) {
  test(`${what} is refused`, async () => {
    const sent = await add({}, { key });
    assert.deepEqual([sent.status, (sent.body as { errors: { field: string }[] }).errors[0]?.field], [400, 'idempotency-key']);
    assert.equal(await live(), 0);
  });
}

test('a body that is nested too deeply is refused', async () => {
  for (const depth of [1_000, 3_000, 5_000, 8_000, 20_000, 100_000, 400_000]) {
    const text = `{"name":"fleet.canary","input":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    const sent = await api.send('POST', '/tasks', {
      text,
      headers: { 'content-type': 'application/json', 'idempotency-key': `deep-${depth}` },
    });
    assert.equal(sent.status, 400, `${depth}: ${sent.text}`);
  }
});

test('a task whose registration or stored answer fails is answered as enqueued', async () => {
  const keys = createKeys(keyPrefix);
  await fleet.client.set(keys.tasks, 'a string');
  const sent = await add({ item: 'a' });
  assert.equal(sent.status, 202, sent.text);
  assert.equal(await fleet.client.exists(keys.jobs('fleet') + (sent.body as { id: string }).id), 1);
});

test('if the queue rejects the task, the answer says that it does not exist', async () => {
  await fleet.client.set(`${createKeys(keyPrefix).jobs('fleet')}meta`, 'a string');
  const sent = await api.send('POST', '/tasks', { json: { name: 'fleet.canary' } });
  const { code, exists, detail } = sent.body as Readonly<Record<string, unknown>>;
  assert.deepEqual([sent.status, code, exists], [503, 'REDIS_WRONG_TYPE', false]);
  assert.ok(!String(detail).includes(keyPrefix), 'callers over HTTP are not told the names of keys');
});
