import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { type SendOptions, serveApi } from './serve-api.js';

const chat = new ScriptedTask('chat.answer', { concurrency: { by: 'item', limit: 1 } });
const report = new ScriptedTask('report.write', { concurrency: { by: () => 'tenant', limit: 1, maxWaiting: 1 } });
const fleet = await TestFleet.start();
const producer = fleet.producer({ keyPrefix: fleet.newPrefix() });
const api = await serveApi({ producer, definitions: [chat.definition, report.definition] });
after(async () => {
  await api.close();
  await fleet.stop();
});

interface Answer {
  readonly id: string;
  readonly code: string;
  readonly key?: string;
  readonly ids?: readonly string[];
  readonly superseded: readonly string[];
  readonly waiting_for: { readonly key: string; readonly position: number } | null;
}

async function add(name: string, body: object, as: SendOptions['as'] = 'admin'): Promise<[status: number, body: Answer]> {
  const sent = await api.send('POST', '/tasks', { as, json: { name, ...body } });
  return [sent.status, sent.body as Answer];
}

async function waitingFor(id: string): Promise<Answer['waiting_for']> {
  return ((await api.send('GET', `/tasks/${id}`)).body as Answer).waiting_for;
}

test('a task lines up, is refused, replaces those in line, or stops the others, as when_busy says', async () => {
  const add1 = (body: object): ReturnType<typeof add> => add('chat.answer', { item: 'mine-1', ...body });
  const [[, first], [, second], [, third]] = [await add1({}), await add1({}), await add1({ when_busy: 'wait' })];
  const [front, behind] = [await waitingFor(second.id), await waitingFor(third.id)];
  assert.deepEqual([front?.key, front?.position, behind?.position], ['mine-1', 1, 2]);
  const [status, refused] = await add1({ when_busy: 'reject' });
  assert.deepEqual([status, refused.code, refused.key, refused.ids], [409, 'ITEM_BUSY', 'mine-1', [first.id, second.id, third.id]]);
  const [, fourth] = await add1({ when_busy: 'replace-waiting' });
  assert.deepEqual(fourth.superseded, [second.id, third.id]);
  assert.equal((await waitingFor(fourth.id))?.position, 1);
  const [, last] = await add1({ on_busy: 'stop-previous' });
  assert.deepEqual([last.superseded, await waitingFor(last.id)], [[first.id, fourth.id], null]);
  assert.deepEqual((await add1({ when_busy: 'reject', on_busy: 'wait' }))[0], 400);
});

test('a caller restricted to certain items neither stops tasks of other items by a shared key nor learns their ids', async () => {
  const [, theirs] = await add('report.write', { item: 'other-1' });
  const [, mine] = await add('report.write', { item: 'mine-1' }, 'steward');
  for (const when_busy of ['stop-previous', 'replace-waiting']) {
    const [status, { code }] = await add('report.write', { item: 'mine-1', when_busy }, 'steward');
    assert.deepEqual([status, code], [403, 'FORBIDDEN'], when_busy);
  }
  const [status, refused] = await add('report.write', { item: 'mine-1' }, 'steward');
  assert.deepEqual([status, refused.code, refused.ids], [409, 'ITEM_BUSY', [mine.id]]);
  assert.ok(!JSON.stringify(refused).includes(theirs.id));
  const [, { ids }] = await add('report.write', { item: 'mine-1' }, 'operator');
  assert.deepEqual(ids, [theirs.id, mine.id], 'who may see all items learns all ids');
  assert.equal((await add('report.write', { item: 'mine-1', when_busy: 'stop-previous' }, 'operator'))[0], 202);
});
