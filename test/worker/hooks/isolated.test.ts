import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { type FleetWorker, defineTask } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { endOf } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { builtUrl } from '../../support/process/built.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../worker/index.js');

/** Calls of the module's hooks and middleware, which run in this process. */
const calls: string[] = [];
(globalThis as unknown as Record<string, unknown>)['hookCalls'] = calls;

const MODULE = `
import { isMainThread } from 'node:worker_threads';
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const isolated = (name, handle, options = {}) =>
  defineHandler(defineTask({ name, input: z.any(), retention: ${JSON.stringify(KEEP)}, ...options }), handle, { isolate: true });
export default [
  isolated('apart.adds', ({ input }) => ({ sum: input.a + input.b, main: isMainThread })),
  isolated('apart.throws', () => { throw Object.assign(new RangeError('too far'), { code: 'E_FAR' }); }),
  isolated('apart.spins', ({ emit }) => { emit('begun'); for (;;); }),
  isolated('apart.waits', () => new Promise(() => setInterval(() => 1, 1_000)), { timeoutMs: 50 }),
];
export const hooks = {
  onAttemptEnd: ({ task, outcome, error }) => globalThis.hookCalls.push([task.name, outcome, error?.name ?? '', error?.code ?? ''].join(' ').trim()),
};
export const use = [
  async ({ name, input, signal, emit }, next) => {
    globalThis.hookCalls.push(name + (isMainThread ? ' around' : ' in a thread'));
    if (input.never) return 'not called';
    try {
      const result = await next();
      return input.wrap ? { wrapped: result } : undefined;
    } finally {
      if (input.hangs) await new Promise(() => 1);
      globalThis.hookCalls.push(name + (signal.aborted ? ' aborted' : ' ended'));
    }
  },
];
`;
const task = (name: string) => defineTask({ name, input: z.any(), retention: KEEP });

describe('Hooks and middleware of an isolated handler', () => {
  let fleet: TestFleet;
  let folder: string;
  let producer: Producer;
  let worker: FleetWorker;

  before(async () => {
    fleet = await TestFleet.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-hooks-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  async function start(t: TestContext): Promise<void> {
    calls.length = 0;
    const keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    const settings = { redisUrl: fleet.redis.url, keyPrefix, shutdownTimeoutMs: 0, stopGraceMs: 50, threads: 1 };
    worker = await createWorker({ ...settings, loggers: new LogLines().loggers, cwd: folder, taskModules: ['tasks.mjs'] });
    t.after(() => worker.stop());
    await worker.start();
    await worker.ready();
  }
  const run = async (name: string, input: object) => endOf(producer, (await producer.enqueue(task(name), input)).id);

  it('run in the main thread, and see the result and the error of the thread', async (t) => {
    await start(t);
    assert.deepEqual((await run('apart.adds', { a: 1, b: 2 })).result, { sum: 3, main: false });
    assert.deepEqual((await run('apart.adds', { a: 1, b: 2, wrap: true })).result, { wrapped: { sum: 3, main: false } });
    assert.equal((await run('apart.adds', { never: true })).result, 'not called');
    const failed = await run('apart.throws', {});
    assert.deepEqual([failed.state, failed.error], ['failed', 'too far']);
    assert.deepEqual(calls, [
      ...['apart.adds around', 'apart.adds ended', 'apart.adds completed'],
      ...['apart.adds around', 'apart.adds ended', 'apart.adds completed'],
      ...['apart.adds around', 'apart.adds completed'],
      ...['apart.throws around', 'apart.throws ended', 'apart.throws failed RangeError E_FAR'],
    ]);
  });

  it('end with the thread after a stop and a timeout; middleware that hangs is abandoned', async (t) => {
    await start(t);
    for (const input of [{}, { hangs: true }]) {
      const { id } = await producer.enqueue(task('apart.spins'), input);
      for await (const event of producer.events(id)) if (event.type === 'chunk') break;
      await producer.stop(id);
      const view = await endOf(producer, id);
      assert.deepEqual([view.state, view.stop?.via], ['cancelled', 'kill']);
    }
    const late = await run('apart.waits', {});
    assert.deepEqual([late.state, late.error], ['failed', 'Timed out after 50 ms']);
    assert.deepEqual(
      calls,
      [
        ...['apart.spins around', 'apart.spins aborted', 'apart.spins cancelled'],
        ...['apart.spins around', 'apart.spins cancelled'],
        ...['apart.waits around', 'apart.waits aborted', 'apart.waits timed_out'],
      ].map((call) => (call === 'apart.waits timed_out' ? `${call} TimedOut` : call)),
    );
    await until(
      () => Promise.resolve(worker.status().zombies),
      (zombies) => zombies === 1,
    );
  });
});
