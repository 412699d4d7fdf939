import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());
const { client } = fleet;

test("Redis stores a default task's job compactly: its options state no default", async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const { definition } = new ScriptedTask('compact.do', { retention: {} });
  const jobs = fleet.keys(keyPrefix).jobs('compact');
  // Before Redis 7, the compact encoding is called ziplist.
  const isCompact = async (id: string): Promise<boolean> => /^(list|zip)/.test(String(await client.object('ENCODING', jobs + id)));
  const { id } = await producer.enqueue(definition, { n: 1 }, { item: 'chat-1' });
  assert.deepEqual([await isCompact(id), await client.hget(jobs + id, 'opts')], [true, '{"item":"chat-1"}']);
  const [many] = await producer.enqueueMany(definition, [{ input: { n: 2 }, item: randomUUID() }]);
  assert.ok(await isCompact(many?.id ?? ''), 'an item as long as a UUID fits');
  await producer.enqueue(definition, { n: 3 }, { id: 'mine', item: 'chat-1' });
  assert.ok(await isCompact('mine'), "so does the mark of a caller's id");
});

test('a task whose job states nothing has the default retention, and one that states its own keeps it', async () => {
  const keyPrefix = fleet.newPrefix();
  const [bare, own] = [{}, { completed: { count: 7 } }].map((retention, n) => new ScriptedTask(`keep.${n}`, { retention }));
  assert.ok(bare && own);
  await fleet.worker(keyPrefix, [bare.handler, own.handler]);
  const producer = fleet.producer({ keyPrefix });
  for (const task of [bare, own]) {
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call(0)).returns(null);
    await producer.result(id);
  }
  const limits = { 'completed:keep.0': '3600:1000', 'completed:keep.1': '3600:7' };
  const kept = await until(
    () => client.hgetall(fleet.keys(keyPrefix).keptLimits('keep')),
    (found) => Object.keys(found).length === 2,
  );
  assert.deepEqual({ ...kept }, limits);
});
