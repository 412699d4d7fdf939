import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { FlowProducer } from 'bullmq';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { MAX_KEPT_CHILDREN } from '../../../../shared/limits.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { freshApi } from '../fresh-api.js';
import type { SendOptions, ServedApi } from '../serve-api.js';

const fleet = await TestFleet.start();
let api: ServedApi;
let producer: Producer;
let keyPrefix: string;
freshApi(fleet, (fresh) => ({ api, producer, keyPrefix } = fresh));
after(() => fleet.stop());

interface Related {
  readonly parent: { readonly id: string } | null;
  readonly children: readonly { readonly id: string; readonly state: string }[];
  readonly complete: boolean;
}

/** Returns the ids and the states of the related tasks. */
async function related(id: string, as: SendOptions['as'] = 'admin') {
  const { status, body } = await api.send('GET', `/tasks/${encodeURIComponent(id)}/related`, { as });
  if (status !== 200) return status;
  const { parent, children, complete } = body as Related;
  return { parent: parent?.id ?? null, children: children.map((child) => `${child.id} ${child.state}`), complete };
}

test('a task and its children name each other, also once they have ended', async () => {
  const parent = new ScriptedTask('family.parent', { retention: KEEP });
  const child = new ScriptedTask('family.child', { retention: KEEP });
  await fleet.worker(keyPrefix, [parent.handler, child.handler], { producer });
  await producer.enqueue(parent.definition, {}, { id: 'mother', item: 'mine' });
  const call = await parent.call();
  await call.context.enqueue(child.definition, {}, { id: 'one' });
  await call.context.enqueue(child.definition, {}, { id: 'later', delay: 3_600_000 });
  (await child.call()).returns('grown');
  await producer.result('one');
  // Repeated after a retry of its parent, for example.
  await call.context.enqueue(child.definition, {}, { id: 'one' });
  const both = { parent: null, children: ['one completed', 'later scheduled'], complete: true };
  assert.deepEqual(await related('mother'), both);
  assert.deepEqual(await related('one', 'viewer'), { parent: 'mother', children: [], complete: true });
  call.returns();
  await producer.result('mother');
  assert.deepEqual(await related('mother', 'guest'), both);
  await producer.enqueue(parent.definition, {}, { id: 'other', item: 'yours' });
  (await parent.call(1)).returns();
  assert.equal(await related('other', 'guest'), 404);
  assert.equal(await related('nobody'), 404);
});

test('only the newest children of many are listed', async () => {
  const parent = new ScriptedTask('family.parent', { retention: KEEP });
  const child = new ScriptedTask('family.child');
  await fleet.worker(keyPrefix, [parent.handler, child.handler], { producer, concurrency: 1 });
  await producer.enqueue(parent.definition, {}, { id: 'mother' });
  const call = await parent.call();
  const ids = Array.from({ length: MAX_KEPT_CHILDREN + 20 }, (_, index) => `child-${index}`);
  for (const id of ids) await call.context.enqueue(child.definition, {}, { id, delay: 3_600_000 });
  const kept = await fleet.client.hget(`${createKeys(keyPrefix).jobs('family')}mother`, 'kid_ids');
  assert.deepEqual(kept?.split(' '), ids.slice(-MAX_KEPT_CHILDREN));
  const { children, complete } = (await related('mother')) as { children: string[]; complete: boolean };
  assert.deepEqual([children, complete], [ids.slice(-MAX_KEPT_CHILDREN).map((id) => `${id} scheduled`), false]);
  call.returns();
});

test('the children of a BullMQ flow are listed, and keys that are not lists of children are none', async (t) => {
  const keys = createKeys(keyPrefix);
  const flows = new FlowProducer({ connection: fleet.client, prefix: keys.jobs('plain').replace(/:plain:$/, '') });
  t.after(() => flows.close());
  await fleet.client.sadd(keys.queues, 'plain');
  await flows.add({
    name: 'up',
    queueName: 'plain',
    opts: { jobId: 'up' },
    children: [{ name: 'down', queueName: 'plain', opts: { jobId: 'down' } }],
  });
  assert.deepEqual(await related('up'), { parent: null, children: ['down queued'], complete: true });
  assert.deepEqual(await related('down'), { parent: 'up', children: [], complete: true });
  assert.equal(await related('up', 'guest'), 404);
  await fleet.client.set(keys.children('down'), 'not a set');
  assert.deepEqual(await related('down'), { parent: 'up', children: [], complete: true });
});
