import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { type SendOptions, serveApi } from './serve-api.js';

const task = new ScriptedTask('report.write');
const drafts = new ScriptedTask('report.draft', { dedupe: { by: () => 'all', mode: 'debounce', withinMs: 60_000 } });
const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const producer = fleet.producer({ keyPrefix });
const api = await serveApi({ producer, definitions: [task.definition, drafts.definition] });
after(async () => {
  await api.close();
  await fleet.stop();
});

interface Answer {
  readonly id: string;
  readonly duplicate: boolean;
  readonly code: string;
  readonly dedupe_key: string | null;
  readonly errors?: readonly { readonly field: string }[];
}

async function add(body: object, as: SendOptions['as'] = 'submitter'): Promise<[status: number, body: Answer]> {
  const sent = await api.send('POST', '/tasks', { as, json: { name: 'report.write', ...body } });
  return [sent.status, sent.body as Answer];
}

test('POST /tasks deduplicates by key, mode and time', async () => {
  for (const dedupe of [
    { key: 'k' },
    { key: 'k', mode: 'throttle', within_ms: 60_000 },
    { key: 'k', mode: 'debounce', within_ms: 60_000 },
  ]) {
    const [status, first] = await add({ dedupe, input: 1 });
    assert.deepEqual([status, first.duplicate], [202, false]);
    assert.deepEqual(await add({ dedupe, input: 2 }), [202, { ...first, duplicate: true }]);
    assert.equal(((await api.send('GET', `/tasks/${first.id}`)).body as Answer).dedupe_key, 'k');
    await producer.stop(first.id);
  }
  const bad = [{ key: '' }, { mode: 'throttle' }, { key: 'k', mode: 'x' }, { key: 'k', ttl: 1 }, { key: 'k', mode: 'throttle' }];
  for (const dedupe of bad) {
    const [status, { errors = [] }] = await add({ dedupe });
    assert.equal(status, 400, JSON.stringify(dedupe));
    assert.ok(
      errors.some(({ field }) => field.startsWith('dedupe')),
      JSON.stringify(errors),
    );
  }
});

test('a caller who may not see the task that stands is refused, and does not replace its input', async () => {
  const dedupe = { key: 'secret', mode: 'debounce', within_ms: 60_000 };
  const [, first] = await add({ dedupe, input: 'theirs', item: 'other-1' }, 'admin');
  const [status, { code, ...rest }] = await add({ dedupe, input: 'mine', item: 'mine-1' }, 'owner');
  assert.deepEqual([status, code], [403, 'FORBIDDEN']);
  assert.ok(!JSON.stringify(rest).includes(first.id));
  const job = fleet.keys(keyPrefix).jobs('report') + first.id;
  assert.equal(await fleet.client.hget(job, 'data'), '"theirs"');
  assert.equal((await producer.get(first.id))?.item, 'other-1');
  assert.deepEqual((await add({ dedupe, input: 'ours', item: 'other-1' }, 'admin'))[1], { ...first, duplicate: true });
  assert.equal(await fleet.client.hget(job, 'data'), '"ours"');
});

test("the definition's own deduplication does not replace the input of a hidden task either", async () => {
  const [, first] = await add({ name: 'report.draft', input: 'theirs', item: 'other-1' }, 'admin');
  const [status, { code }] = await add({ name: 'report.draft', input: 'mine', item: 'mine-1' }, 'owner');
  assert.deepEqual([status, code], [403, 'FORBIDDEN']);
  assert.equal(await fleet.client.hget(fleet.keys(keyPrefix).jobs('report') + first.id, 'data'), '"theirs"');
});
