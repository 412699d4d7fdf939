import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { type WorkerConfig, defineTask } from '../../../../worker/index.js';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';
import { builtUrl } from '../../../support/process/built.js';
import { KEEP } from '../../../support/task/keep.js';
import { until } from '../../../support/until.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../../worker/index.js');

const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const KEEP = ${JSON.stringify(KEEP)};
const child = defineTask({
  name: 'thread.child', input: z.object({ text: z.string(), times: z.number().default(2) }),
  tags: ({ input, item }) => ['times:' + input.times, ...(item ? ['of:' + item] : [])],
  retention: { ...KEEP, completed: { ageMs: 3_600_000, count: 5 } } });
const isolated = (name, handle, options = {}) =>
  defineHandler(defineTask({ name, input: z.any(), retention: KEEP, ...options }), handle, { isolate: () => true });
const aborted = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)));
const partsOf = ({ name, code, message, details, reason, by }) => ({ name, code, message, details, reason, by });

export default [
  defineHandler(child, ({ item, input }) => ({ item, input })),
  isolated('thread.parent', async ({ enqueue, input: { given, options } }) => {
    if (options.deadline) options.deadline = new Date(options.deadline);
    return enqueue(child, given, options).catch((error) => ({ error: partsOf(error) }));
  }),
  isolated('thread.twice', ({ enqueue }) => Promise.all([1, 2].map((n) => enqueue(child, { text: String(n) }, { id: 'once' })))),
  isolated('thread.leaves', ({ enqueue }) => { enqueue(child, { text: 'left behind' }, { id: 'left-behind' }); }),
  isolated('thread.aborted', async (context) => {
    context.emit('waiting');
    await aborted(context);
    await context.enqueue(child, { text: 'late' }, { id: 'late' }).catch((error) => context.emit(partsOf(error)));
  }),
  isolated('thread.spins', (context) => { context.emit('begun'); for (;;); }),
  isolated('thread.timely', (context) => context.emit('begun'), { retry: { attempts: 3, backoff: { delayMs: 0 } } }),
];
`;
const task = (name: string) => defineTask({ name, input: z.any(), retention: KEEP });

interface Parts {
  readonly error: { readonly name: string; readonly code?: string; readonly message: string; readonly details?: unknown };
}

describe('An isolated handler', () => {
  let fleet: TestFleet;
  let folder: string;
  let prefix: string;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-children-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  async function start(t: { after: (end: () => Promise<void>) => void }, config: Partial<WorkerConfig> = {}) {
    const settings = {
      redisUrl: fleet.redis.url,
      keyPrefix: prefix,
      shutdownTimeoutMs: 0,
      stopGraceMs: 60_000,
      threads: 1,
      logLevel: 'silent',
    } as const;
    const worker = await createWorker({ ...settings, cwd: folder, taskModules: ['tasks.mjs'], producer, ...config });
    t.after(() => worker.stop());
    await worker.start();
    await worker.ready();
    return worker;
  }

  const result = async (name: string, input: unknown, options: Parameters<Producer['enqueue']>[2] = {}) =>
    producer.result(await producer.enqueue(task(name), input, options));
  async function chunks(id: string): Promise<unknown[]> {
    const all: unknown[] = [];
    for await (const event of producer.events(id)) if (event.type === 'chunk') all.push(event.chunk);
    return all;
  }
  async function begun(id: string): Promise<void> {
    for await (const event of producer.events(id)) if (event.type === 'chunk') return;
  }

  it('enqueues a child task with its item and the defaults of the schema', async (t) => {
    await start(t);
    const parent = await producer.enqueue(
      task('thread.parent'),
      { given: { text: 'a' }, options: { delay: 3_600_000, tags: ['own'] } },
      { item: 'doc-1', tags: ['inherited'] },
    );
    const made = (await producer.result(parent)) as { id: string };
    assert.deepEqual({ ...made }, { id: made.id, name: 'thread.child', queue: 'thread', item: 'doc-1', duplicate: false, superseded: [] });
    assert.deepEqual(await fleet.client.smembers(createKeys(prefix).children(parent.id)), [made.id]);
    assert.deepEqual((await producer.get(made.id))?.tags, ['inherited', 'times:2', 'of:doc-1', 'own']);
    const { removeOnComplete } = JSON.parse((await fleet.client.hget(createKeys(prefix).jobs('thread') + made.id, 'opts')) ?? '{}') as {
      removeOnComplete?: { count: number };
    };
    assert.equal(removeOnComplete?.count, 5, 'the definition crosses as it is');
    await producer.stop(made.id);
    const other = (await result('thread.parent', { given: { text: 'b' }, options: {} }, { item: 'doc-2' })) as { id: string };
    assert.deepEqual(await producer.result(other.id), { item: 'doc-2', input: { text: 'b', times: 2 } });
  });

  it('gets enqueue errors with their code and details', async (t) => {
    await start(t);
    const errorOf = async (given: unknown, options: unknown = {}) => ((await result('thread.parent', { given, options })) as Parts).error;
    const input = await errorOf({ text: 5 });
    assert.deepEqual(
      [input.name, input.code, input.details],
      [
        'FleetError',
        'INVALID_INPUT',
        {
          task: 'thread.child',
          fields: ['text'],
          errors: [{ field: 'input.text', message: 'Invalid input: expected string, received number' }],
        },
      ],
    );
    assert.match(input.message, /Bad input for thread\.child: text: /);
    const id = await errorOf({ text: 'a' }, { id: 'a:b' });
    assert.deepEqual([id.name, id.code, id.details], ['FleetError', 'INVALID_ID', { field: 'id' }]);
    const tags = await errorOf({ text: 'a' }, { tags: [''] });
    assert.deepEqual([tags.code, tags.details], ['INVALID_OPTION', { field: 'tags' }]);
    const deadline = await errorOf({ text: 'a' }, { deadline: '2001-01-01T00:00:00.000Z' });
    assert.deepEqual([deadline.code, deadline.details], ['INVALID_OPTION', { field: 'deadline' }]);
    assert.match(deadline.message, /2001-01-01T00:00:00\.000Z is before now/);
  });

  it('cannot enqueue without a producer', async (t) => {
    await start(t, { producer: undefined });
    const { error } = (await result('thread.parent', { given: { text: 'a' }, options: {} })) as Parts;
    assert.deepEqual([error.name, error.code], ['FleetError', 'NO_PRODUCER']);
  });

  it('enqueues one task for an id given twice, and tasks that it does not await', async (t) => {
    await start(t);
    const [one, other] = (await result('thread.twice', {})) as { duplicate: boolean }[];
    assert.deepEqual([one?.duplicate, other?.duplicate].filter(Boolean), [true]);
    await result('thread.leaves', {});
    const view = await until(
      () => producer.get('left-behind'),
      (now) => now?.state === 'completed',
    );
    assert.deepEqual(view?.result, { item: null, input: { text: 'left behind', times: 2 } });
  });

  it('cannot enqueue after a stop, gets its sender and reason, and its children are stopped too', async (t) => {
    await start(t);
    const { id } = await producer.enqueue(task('thread.aborted'), {});
    await begun(id);
    const receipt = await producer.stop(id, { reason: 'enough', by: 'bob', waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
    assert.deepEqual(await chunks(id), [
      'waiting',
      { name: 'StopRequested', message: 'Stopped by bob: enough', reason: 'enough', by: 'bob' },
    ]);
    assert.equal(await producer.get('late'), null);
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('that waits for a free thread past its deadline is neither started nor retried', async (t) => {
    const worker = await start(t, { stopGraceMs: 50 });
    const spinning = await producer.enqueue(task('thread.spins'), {});
    await begun(spinning.id);
    const deadline = new Date(Date.now() + 5_000);
    const late = await producer.enqueue(task('thread.timely'), {}, { deadline });
    const patient = await producer.enqueue(task('thread.timely'), {}, { deadline: new Date(Date.now() + 60_000) });
    await until(
      () => worker.status().running,
      (ids) => ids.includes(late.id) && ids.includes(patient.id),
    );
    assert.ok(Date.now() < deadline.getTime(), 'it was picked up in time');
    await assert.rejects(producer.result(late, { timeoutMs: 60_000 }), { code: 'TASK_FAILED' });
    const view = await producer.get(late);
    assert.deepEqual(
      [view?.state, view?.attempt, view?.error],
      ['failed', 1, `Not started before its deadline, ${deadline.toISOString()}`],
    );
    assert.equal((await producer.get(spinning))?.state, 'running');
    await producer.stop(spinning, { waitMs: 60_000 });
    await producer.result(patient);
    assert.deepEqual([await chunks(late.id), await chunks(patient.id)], [[], ['begun']]);
  });
});
