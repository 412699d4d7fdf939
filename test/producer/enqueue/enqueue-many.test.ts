import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { batchesOf } from '../../../producer/enqueue/enqueue-many.js';
import { type FleetError, isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { MergedWrites } from '../../../shared/registry/merged-writes.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('a batch has at most 250 tasks and a million characters of inputs, in order', () => {
  const ofLength = (length: number, count: number) => Array.from({ length: count }, (_, n) => ({ n, data: 'x'.repeat(length) }));
  const sizes = (length: number, count: number) => batchesOf(ofLength(length, count)).map((batch) => batch.length);
  assert.deepEqual(sizes(10, 600), [250, 250, 100]);
  assert.deepEqual(sizes(300_000, 7), [3, 3, 1]);
  assert.deepEqual(sizes(2_000_000, 2), [1, 1], 'a longer input has a batch of its own');
  assert.deepEqual(batchesOf([]), []);
  assert.deepEqual(
    batchesOf(ofLength(10, 600)).flatMap((batch) => batch.map(({ n }) => n)),
    Array.from({ length: 600 }, (_, n) => n),
  );
});

test('many tasks are added in their order, by one script for each 64, which registers them too', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const { definition } = new ScriptedTask('many.do', { retention: {} });
  await producer.enqueue(definition, 'loads the scripts, and registers the queue');
  const before = await calls();
  const added = await producer.enqueueMany(
    definition,
    Array.from({ length: 1_000 }, (_, n) => ({ input: n })),
  );
  const sent = await calls();
  const of = (command: string): number => (sent.get(command) ?? 0) - (before.get(command) ?? 0);
  // Four batches of four scripts. Each registers the queues of its tasks, their items, and their name; BullMQ's uses neither command.
  const scripts = 4 * Math.ceil(250 / 64);
  assert.deepEqual([of('evalsha'), of('hset'), of('sadd')], [scripts, scripts * 2, scripts]);
  const waiting = await fleet.client.lrange(`${fleet.keys(keyPrefix).jobs('many')}wait`, '0', '-1');
  assert.deepEqual(
    waiting.toReversed().slice(1),
    added.map(({ id }) => id),
  );
});

test('a call that fails says how many of all its tasks exist, also of those that were not sent', async (context) => {
  const own = await TestFleet.onOneServer();
  context.after(() => own.stop());
  const keyPrefix = own.newPrefix();
  const producer = own.producer({ keyPrefix });
  const { definition } = new ScriptedTask('many.refused', { retention: {} });
  await producer.enqueue(definition, 'first');
  const wait = `${own.keys(keyPrefix).jobs('many')}wait`;
  await own.client.config('SET', 'maxmemory', '1');
  const refused = await failure(producer.enqueueMany(definition, inputs(3_000, 0)));
  assert.deepEqual([refused.code, refused.details['exists'], refused.details['added']], ['REDIS_OUT_OF_MEMORY', false, []]);
  assert.match(refused.message, /^0 of 3000 tasks were added/);
  await own.client.config('SET', 'maxmemory', '0');
  assert.equal(await own.client.llen(wait), 1);

  const adding = failure(producer.enqueueMany(definition, inputs(20_000, 'x'.repeat(1_000))));
  await until(
    () => own.client.llen(wait),
    (length) => length > 500,
    { everyMs: 1 },
  );
  await own.client.config('SET', 'maxmemory', '1');
  const { code, details, message } = await adding;
  await own.client.config('SET', 'maxmemory', '0');
  const added = details['added'] as string[];
  assert.deepEqual([code, details['exists'], details['unknown']], ['REDIS_OUT_OF_MEMORY', 'unknown', []]);
  assert.match(message, new RegExp(`^${added.length} of 20000 tasks were added`));
  assert.deepEqual(new Set((await own.client.lrange(wait, '0', '-1')).slice(0, -1)), new Set(added));
  assert.equal((await own.registrySize(keyPrefix)).live, added.length + 1);
});

function inputs(count: number, input: unknown): { input: unknown }[] {
  return Array.from({ length: count }, () => ({ input }));
}

async function failure(call: Promise<unknown>): Promise<FleetError> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(isFleetError(error), String(error));
  return error;
}

test('no command of a registration has more than a thousand arguments', () => {
  const writes = new MergedWrites(createKeys('p'), { written: true, removed: true });
  for (let n = 0; n < 3_000; n += 1) writes.add({ id: `task-${n}`, item: 'one', queue: 'q', at: n, name: 'a.b', tags: ['t'] });
  for (let n = 0; n < 3_000; n += 1) writes.remove(`task-${n}`, { item: 'one', name: 'a.b', tags: ['t'] });
  const lengths: number[] = [];
  const note = (_key: string, ...words: unknown[]): number => lengths.push(words.length);
  const multi = (...words: unknown[]): number => lengths.push(words.length);
  const [ofKeys, ofAll] = [
    { hset: note, hdel: note, zadd: note, zrem: note, sadd: note, srem: note, pexpire: note },
    { mset: multi, del: multi, leaveItems: multi },
  ];
  writes.flushInto({ ...ofKeys, ...ofAll });
  assert.ok(Math.max(...lengths) <= 1_000, String(Math.max(...lengths)));
  assert.ok(lengths.length > 50);
});

/** Returns how often each command was called by a client. */
async function calls(): Promise<Map<string, number>> {
  const text = await fleet.client.info('commandstats');
  return new Map([...text.matchAll(/^cmdstat_(\w+):calls=(\d+)/gm)].map(([, name = '', count]) => [name, Number(count)]));
}
