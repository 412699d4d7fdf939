import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { type TaskDefinition, defineTask } from '../../../index.js';
import { defineHandler } from '../../../worker/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { builtUrl } from '../../support/process/built.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
const folder = await mkdtemp(join(tmpdir(), 'taskfleet-codecs-'));
after(async () => {
  await fleet.stop();
  await rm(folder, { recursive: true });
});

const isoDate = z.codec(z.iso.datetime(), z.date(), { decode: (text) => new Date(text), encode: (date) => date.toISOString() });
const bytes = z.codec(z.base64(), z.instanceof(Uint8Array), {
  decode: (text) => Uint8Array.from(Buffer.from(text, 'base64')),
  encode: (given) => Buffer.from(given).toString('base64'),
});
type Bill = TaskDefinition<{ at: string; page: string }, { due: Date; cents: bigint }, unknown, Uint8Array>;

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../worker/index.js');

// The same handler in the main thread and in another one, which cannot receive a URL from it.
const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const isoDate = z.codec(z.iso.datetime(), z.date(), { decode: (text) => new Date(text), encode: (date) => date.toISOString() });
const integer = z.codec(z.string(), z.bigint(), { decode: (text) => BigInt(text), encode: String });
const href = z.codec(z.url(), z.instanceof(URL), { decode: (text) => new URL(text), encode: (url) => url.href });
const bytes = z.codec(z.base64(), z.instanceof(Uint8Array), {
  decode: (text) => Uint8Array.from(Buffer.from(text, 'base64')),
  encode: (given) => Buffer.from(given).toString('base64'),
});
const schemas = {
  input: z.object({ at: isoDate, page: href }),
  output: z.object({ due: isoDate, cents: integer }),
  chunk: bytes,
  retention: ${JSON.stringify(KEEP)},
};
const handle = ({ input: { at, page }, emit }) => {
  emit(new TextEncoder().encode(page.pathname));
  return { due: new Date(at.getTime() + 86_400_000), cents: 2n ** 64n };
};
export default [
  defineHandler(defineTask({ name: 'bill.write', ...schemas }), handle),
  defineHandler(defineTask({ name: 'bill.isolated', ...schemas }), handle, { isolate: true }),
];
`;

test('codecs decode the input for the handler and encode its chunks and result, which readers decode', async (t) => {
  await writeFile(join(folder, 'tasks.mjs'), MODULE);
  const { default: handlers } = (await import(join(folder, 'tasks.mjs'))) as { default: readonly { definition: Bill }[] };
  const keyPrefix = fleet.newPrefix();
  const worker = await createWorker({
    ...{ redisUrl: fleet.redis.url, keyPrefix, cwd: folder, taskModules: ['tasks.mjs'], threads: 1 },
    ...{ shutdownTimeoutMs: 0, stopGraceMs: 50, logLevel: 'silent' },
  });
  t.after(() => worker.stop());
  await worker.start();
  const producer = fleet.producer({ keyPrefix });
  const decoded = { due: new Date('2026-01-02T00:00:00.000Z'), cents: 18_446_744_073_709_551_616n };
  const stored = { due: '2026-01-02T00:00:00.000Z', cents: '18446744073709551616' };
  for (const { definition } of handlers) {
    const task = await producer.enqueue(definition, { at: '2026-01-01T00:00:00.000Z', page: 'https://example.org/a/b' });
    const typed: { due: Date; cents: bigint } = await producer.result(task);
    assert.deepEqual(typed, decoded);
    assert.deepEqual(await producer.result(definition, task.id), decoded);
    assert.deepEqual((await producer.waitUntilFinished(task)).result, decoded);
    assert.deepEqual((await producer.get(task))?.result, decoded);
    // An id alone does not tell the definition.
    assert.deepEqual(await producer.result(task.id), stored);
    assert.deepEqual((await producer.get(task.id))?.result, stored);
    const chunks: Uint8Array[] = [];
    for await (const event of producer.events(definition, task)) if (event.type === 'chunk') chunks.push(event.chunk);
    assert.deepEqual(chunks, [new TextEncoder().encode('/a/b')]);
    const raw: unknown[] = [];
    for await (const event of producer.events(task.id)) if (event.type === 'chunk') raw.push(event.chunk);
    assert.deepEqual(raw, [Buffer.from('/a/b').toString('base64')]);
  }
});

test('a result or chunk that its codec cannot encode, or that JSON would change, fails the task', async () => {
  const keyPrefix = fleet.newPrefix();
  const task = defineTask({
    name: 'bad.output',
    input: z.string(),
    output: z.object({ at: isoDate, more: z.unknown() }),
    chunk: bytes,
    retention: KEEP,
  });
  const results: Readonly<Record<string, unknown>> = {
    'no date': { at: 'today' },
    'a set': { at: new Date(0), more: { tags: new Set() } },
    'a long chunk': 'x'.repeat(200_000),
  };
  const handler = defineHandler(task, ({ input, emit }) => {
    if (input === 'a long chunk') emit(Buffer.alloc(200_000));
    return results[input] as { at: Date; more: unknown };
  });
  await fleet.worker(keyPrefix, [handler]);
  const producer = fleet.producer({ keyPrefix });
  const errorOf = async (input: string): Promise<string | null> =>
    (await producer.waitUntilFinished(await producer.enqueue(task, input))).error;
  assert.match((await errorOf('no date')) ?? '', /^Bad output of bad\.output: at: .*expected date, received string/);
  assert.match((await errorOf('a set')) ?? '', /^Bad output of bad\.output: more\.tags: a Set is not JSON; pass an array/);
  // A codec decodes whole values: a text that it encoded is not cut into several chunks, as others are.
  assert.match((await errorOf('a long chunk')) ?? '', /^context\.emit: The chunk is \d+ bytes of JSON/);
});

test('a result of another version of the definition is an error, and results have their defaults', async () => {
  const keyPrefix = fleet.newPrefix();
  const text = defineTask({ name: 'some.text', input: z.object({}), output: z.string(), retention: KEEP });
  const number = defineTask({ name: 'some.text', input: z.object({}), output: z.number(), retention: KEEP });
  const taxed = defineTask({ name: 'some.tax', input: z.object({}), output: z.object({ tax: z.int().default(7) }), retention: KEEP });
  const nothing = defineTask({ name: 'some.nothing', input: z.object({}), output: z.void(), retention: KEEP });
  await fleet.worker(keyPrefix, [
    defineHandler(text, () => 'seven'),
    defineHandler(nothing, () => undefined),
    defineHandler(taxed, () => ({}) as { tax: number }),
  ]);
  const producer = fleet.producer({ keyPrefix });
  const task = await producer.enqueue(text, {});
  assert.equal(await producer.result(task), 'seven');
  await assert.rejects(producer.result(number, task.id), {
    code: 'INVALID_OUTPUT',
    message: `The output of task ${task.id} does not match the definition: Invalid input: expected number, received string.`,
  });
  assert.equal(await producer.result(await producer.enqueue(nothing, {})), undefined);
  assert.deepEqual(await producer.result(await producer.enqueue(taxed, {})), { tax: 7 });
});

test('an input that JSON would change is refused, wherever it is enqueued', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const any = defineTask({ name: 'any.input', input: z.unknown() });
  const refusal = { code: 'INVALID_INPUT', message: /^Bad input for any\.input: at: a Date is not JSON; pass date\.toISOString\(\)/ };
  await assert.rejects(producer.enqueue(any, { at: new Date(0) }), (error: { details: unknown } & Error) => {
    assert.deepEqual(error.details, {
      task: 'any.input',
      fields: ['at'],
      errors: [{ field: 'input.at', message: error.message.replace('Bad input for any.input: at: ', '').replace(/\.$/, '') }],
    });
    return refusal.message.test(error.message);
  });
  await assert.rejects(producer.enqueueMany(any, [{ input: 1 }, { input: { at: new Date(0) } }]), refusal);
  await assert.rejects(producer.schedules.upsert('daily', any, { at: new Date(0) }, { every: 60_000 }), refusal);
  assert.equal((await producer.list()).tasks.length, 0);
  // What JSON leaves out is left out before the schema sees it.
  const strict = defineTask({ name: 'strict.input', input: z.strictObject({ a: z.string().optional() }) });
  const b = { a: 'x', b: undefined } as { a: string };
  assert.equal((await producer.enqueue(strict, b)).duplicate, false);
});
