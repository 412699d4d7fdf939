import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { createProducer } from '../../../../producer/index.js';
import { limitIn } from '../../../../shared/task/wait/waiting.js';
import { defineTask } from '../../../../worker/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { builtUrl } from '../../../support/process/built.js';
import { KEEP } from '../../../support/task/keep.js';
import { until } from '../../../support/until.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../../worker/index.js');

const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const define = (name, options) => defineTask({ name, input: z.any(), retention: ${JSON.stringify(KEEP)}, ...options });
const byKey = { by: ({ input }) => input.key, limit: 1, group: 'keys' };
const DEFINITIONS = {
  'kin.keyed': define('kin.keyed', { concurrency: byKey }),
  'kin.strict': define('kin.strict', { concurrency: byKey, whenBusy: 'reject' }),
  'kin.free': define('kin.free'),
};

/** Enqueues its children in order, emits their ids or errors, and waits for its stop if the input says so. */
async function handle({ input: { isolated, children = [], holds }, enqueue, emit, signal }) {
  for (const { name, id, ...given } of children)
    emit(await enqueue(DEFINITIONS[name], { isolated, ...given }, { id }).then(
      (child) => child.id,
      ({ code, details }) => ({ code, ...details }),
    ));
  emit('done');
  if (holds && !signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  signal.throwIfAborted();
}

export default Object.values(DEFINITIONS).map((definition) =>
  defineHandler(definition, handle, { isolate: ({ isolated }) => isolated }));
`;
const keyed = defineTask({
  name: 'kin.keyed',
  input: z.any(),
  concurrency: { by: ({ input }) => (input as { key: string }).key, limit: 1, group: 'keys' },
  retention: KEEP,
});

describe('A child with the limits of its parent', () => {
  let fleet: TestFleet;
  let folder: string;

  before(async () => {
    fleet = await TestFleet.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-children-limits-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  for (const isolated of [false, true]) {
    const where = isolated ? 'a thread' : 'the main thread';
    it(`is refused in ${where} if a task above it holds the place, and runs or lines up otherwise`, async (t) => {
      const keyPrefix = fleet.newPrefix();
      const producer = createProducer({ redisUrl: fleet.redis.url, keyPrefix });
      const worker = await createWorker({
        ...{ redisUrl: fleet.redis.url, keyPrefix, producer, cwd: folder, taskModules: ['tasks.mjs'], concurrency: 10 },
        ...{ threads: 4, shutdownTimeoutMs: 0, stopGraceMs: 60_000, logLevel: 'silent' },
      });
      t.after(async () => {
        await worker.stop();
        await producer.close();
      });
      await worker.start();
      await worker.ready();
      const outcomes = async (id: string): Promise<unknown[]> => {
        const all: unknown[] = [];
        for await (const event of producer.events(id)) {
          if (event.type !== 'chunk') continue;
          if (event.chunk === 'done') break;
          all.push(event.chunk);
        }
        return all;
      };

      await producer.enqueue(keyed, { isolated, key: 'elsewhere', holds: true }, { id: 'stranger' });
      const ofBetween = [
        { name: 'kin.keyed', id: 'refused', key: 'mine' },
        { name: 'kin.keyed', id: 'beyond', key: 'third' },
      ];
      const children = [
        { name: 'kin.keyed', id: 'refused', key: 'mine' },
        { name: 'kin.strict', id: 'refused', key: 'mine' },
        { name: 'kin.strict', id: 'refused', key: 'elsewhere' },
        { name: 'kin.keyed', id: 'lined-up', key: 'elsewhere' },
        { name: 'kin.keyed', id: 'beside', key: 'another' },
        { name: 'kin.free', id: 'between', children: ofBetween },
      ];
      await outcomes('stranger');
      await producer.enqueue(keyed, { isolated, key: 'mine', holds: true, children }, { id: 'parent' });
      const held = { code: 'PARENT_HOLDS_KEY', key: 'mine', ids: ['parent'] };
      const busy = { code: 'ITEM_BUSY', key: 'elsewhere', ids: ['stranger'] };
      assert.deepEqual(await outcomes('parent'), [held, held, busy, 'lined-up', 'beside', 'between']);
      assert.deepEqual(await outcomes('between'), [held, 'beyond']);
      for (const id of ['beside', 'between', 'beyond']) assert.equal((await producer.waitUntilFinished(id)).state, 'completed', id);
      assert.deepEqual(
        [await producer.get('refused'), limitIn((await producer.get('lined-up'))?.waitingFor ?? null)?.key],
        [null, 'elsewhere'],
      );
      await producer.stop('stranger');
      assert.equal((await producer.waitUntilFinished('lined-up')).state, 'completed');
      await producer.stop('parent');
      await until(
        () => fleet.client.hlen(fleet.keys(keyPrefix).limiter('tasks')),
        (records) => records === 0,
      );
    });
  }
});
