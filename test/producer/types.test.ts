import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../shared/task/definition.js';
import { defineHandler } from '../../shared/task/handler.js';
import { type FleetCanaryOutput, fleetCanary } from '../../worker/builtin/definitions.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';

/** Most of this file is checked by the compiler: `npm run typecheck`. */
const fleet = await TestFleet.start();
after(() => fleet.stop());

const greet = defineTask({
  name: 'greet.one',
  input: z.object({ name: z.string(), loud: z.boolean().default(false) }),
  output: z.object({ text: z.string() }),
  retention: KEEP,
});
const untyped = defineTask({ name: 'un.typed', input: z.object({}), retention: KEEP });

test('the types of a definition hold from the input through the handler to the result', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const handler = defineHandler(greet, ({ input }) => {
    const { name, loud }: { name: string; loud: boolean } = input; // the default is filled in
    return { text: loud ? name.toUpperCase() : name };
  });
  await fleet.worker(keyPrefix, [handler, defineHandler(untyped, () => 7)]);

  const task = await producer.enqueue(greet, { name: 'ada' });
  const { text }: { text: string } = await producer.result(task);
  assert.equal(text, 'ada');
  assert.equal((await producer.get(task))?.result?.text satisfies string | undefined, 'ada');

  const [first] = await producer.enqueueMany(greet, [{ input: { name: 'bob', loud: true }, item: 'x', priority: 1 }]);
  assert.equal((await producer.result(first!)).text, 'BOB');

  const canary = await producer.enqueue(fleetCanary, { run_ms: 0 });
  const ran: { ran_ms: number } = await producer.result(canary);
  assert.ok(ran.ran_ms >= 0);
  const byId = await producer.result<FleetCanaryOutput>(canary.id);
  assert.equal(byId.mode, 'cooperative');

  const anything: unknown = await producer.result(await producer.enqueue(untyped, {}));
  assert.equal(anything, 7);
});

test('a definition without retention does not compile', () => {
  const input = z.object({});
  // @ts-expect-error -- no retention
  assert.throws(() => defineTask({ name: 'kept.not', input }), /retention: state what is kept/);
  // @ts-expect-error -- no retention of failed tasks
  assert.throws(() => defineTask({ name: 'kept.half', input, retention: { completed: KEEP.completed } }), /retention\.failed: state/);
  const countAlone = { ...KEEP, completed: { count: 5 } };
  // @ts-expect-error -- a count without an age
  assert.throws(() => defineTask({ name: 'kept.count', input, retention: countAlone }), /retention\.completed\.ageMs: state/);
});

test('a call that does not match its definition does not compile, and is refused at runtime', async () => {
  const producer = fleet.producer();
  // @ts-expect-error -- a field is missing
  await assert.rejects(producer.enqueue(greet, {}), /name: /);
  // @ts-expect-error -- a field of another type
  await assert.rejects(producer.enqueue(greet, { name: 7 }), /name: /);
  // @ts-expect-error -- an unknown mode
  await assert.rejects(producer.enqueue(fleetCanary, { mode: 'sleepy' }), /mode: /);
  // @ts-expect-error -- one invalid task of two
  await assert.rejects(producer.enqueueMany(greet, [{ input: { name: 'ada' } }, { input: { nom: 'bob' } }]), /name: /);
  const task = await producer.enqueue(greet, { name: 'ada' });
  // @ts-expect-error -- the result has no such field
  const wrong = async (): Promise<number> => (await producer.result(task)).count;
  assert.ok(wrong);
  // @ts-expect-error -- a handler that returns something else
  defineHandler(greet, () => ({ text: 7 }));
});
