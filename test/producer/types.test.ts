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

const count = defineTask({ name: 'count.up', input: z.object({}), output: z.number(), chunk: z.object({ n: z.int() }), retention: KEEP });

test('chunks have the type of their definition, and the result that of the definition given with an id', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const wrong = defineTask({ name: 'count.wrong', input: z.object({}), chunk: z.object({ n: z.int() }), retention: KEEP });
  const handlers = [
    defineHandler(count, ({ emit }) => {
      emit({ n: 1 });
      emit({ n: 2 });
      return 2;
    }),
    defineHandler(wrong, ({ emit }) => {
      emit({ n: 1 });
      // @ts-expect-error -- a chunk of another type
      emit({ n: 'two' });
    }),
  ];
  await fleet.worker(keyPrefix, handlers);

  const { id } = await producer.enqueue(count, {});
  const total: number = await producer.result(count, id);
  assert.equal(total, 2);
  let sum = 0;
  for await (const event of producer.events(count, id)) if (event.type === 'chunk') sum += event.chunk.n;
  assert.equal(sum, 3);
  const other = { code: 'INVALID_DEFINITION', details: { field: 'definition', id, name: 'count.up' } };
  await assert.rejects(producer.result(greet, id), other);
  await assert.rejects(producer.events(wrong, id).next(), other);

  const failed = await producer.waitUntilFinished(await producer.enqueue(wrong, {}));
  assert.deepEqual([failed.state, failed.attempt], ['failed', 1]);
  assert.match(failed.error ?? '', /^Bad chunk of count\.wrong: n: /);
  const seen: number[] = [];
  for await (const event of producer.events(wrong, failed.id)) if (event.type === 'chunk') seen.push(event.chunk.n);
  assert.deepEqual(seen, [1]);
});

test('a retention of another shape does not compile, and is refused', () => {
  const input = z.object({});
  // @ts-expect-error -- no such kind
  assert.throws(() => defineTask({ name: 'kept.not', input, retention: { skipped: { count: 5 } } }), /retention: .*skipped/);
  // @ts-expect-error -- a count of another type
  assert.throws(() => defineTask({ name: 'kept.all', input, retention: { failed: { count: 'all' } } }), /retention\.failed\.count: /);
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
