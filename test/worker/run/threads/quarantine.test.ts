import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import type { Store } from '../../../../shared/store.js';
import { type WorkerConfig, defineTask } from '../../../../worker/index.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { builtUrl } from '../../../support/process/built.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../../worker/index.js');

/** Handlers that would end this test's process, or hang it, outside of a thread. */
const MODULE = `
import { isMainThread } from 'node:worker_threads';
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const KEEP = ${JSON.stringify(KEEP)};
const handlers = {
  'killer.exits': () => process.exit(1),
  'killer.grows': () => { for (const all = []; ; ) all.push(new Array(1_000).fill({})); },
  'killer.spins': async () => { for (;;) await null; },
  'killer.place': () => ({ isMainThread }),
  'other.place': () => ({ isMainThread }),
  'killer.waits': ({ emit, signal }) => emit('begun') ?? new Promise((resolve) => signal.addEventListener('abort', resolve)),
};
export default Object.entries(handlers).map(([name, handle]) => defineHandler(defineTask({ name, input: z.any(), retention: KEEP }), handle));
`;

interface Place {
  readonly isMainThread: boolean;
}

describe('A task that lost its worker', () => {
  let fleet: TestFleet;
  let folder: string;
  let prefix: string;
  let producer: Producer;
  let store: Store;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-quarantine-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    store = fleet.store({ keyPrefix: prefix });
    log = new LogLines();
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  async function start(t: { after: (end: () => Promise<void>) => void }, config: Partial<WorkerConfig> = {}): Promise<void> {
    const settings = { redisUrl: fleet.redis.url, keyPrefix: prefix, shutdownTimeoutMs: 0, stopGraceMs: 60_000, loggers: log.loggers };
    const worker = await createWorker({ ...settings, cwd: folder, taskModules: ['tasks.mjs'], ...config });
    t.after(() => worker.stop());
    await worker.start();
    await worker.ready();
  }
  /** Enqueues a task that lost this many workers. */
  async function enqueue(name: string, losses: number): Promise<string> {
    const definition = defineTask({ name, input: z.any(), retention: KEEP });
    const queue = store.queues.get(definition.queue);
    await queue.pause();
    const { id } = await producer.enqueue(definition, {});
    await fleet.client.hset(store.keys.jobs(definition.queue) + id, 'stc', losses);
    await queue.resume();
    return id;
  }
  const errorOf = async (id: string) => {
    await assert.rejects(producer.result(id), { code: 'TASK_FAILED' });
    return (await producer.get(id))?.error ?? '';
  };

  it('runs in a thread of its own, where it ends no other task: process.exit, out of memory, an endless loop', async (t) => {
    const ids = await Promise.all(['killer.waits', 'killer.exits', 'killer.grows', 'killer.spins'].map((name) => enqueue(name, 1)));
    const [neighbour, exits, grows, spins] = ids as [string, string, string, string];
    await start(t, { threadMemoryMb: 64, lockMs: 30_000, eventLoopTimeoutMs: 4_000 });
    assert.match(await errorOf(exits), /^killer\.exits ended its thread, which exited with code: 1\.$/);
    assert.match(await errorOf(grows), /^killer\.grows ran out of memory in its thread/);
    assert.match(await errorOf(spins), /^killer\.spins blocked its event loop for more than EVENT_LOOP_TIMEOUT_MS \(4000\)/);
    const receipt = await producer.stop(neighbour, { waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
    assert.deepEqual(
      log.find(/running it in a thread of its own/).map(({ losses }) => losses),
      [1, 1, 1, 1],
    );
  });

  it('runs in the main thread while the threads are busy; after a second loss it waits for a thread', async (t) => {
    await start(t, { concurrency: 1 });
    const holder = await enqueue('killer.waits', 1);
    for await (const event of producer.events(holder)) if (event.type === 'chunk') break;
    // Slots are counted by queue, threads are not.
    assert.equal((await producer.result<Place>(await enqueue('other.place', 1))).isMainThread, true);
    const suspicious = await enqueue('other.place', 2);
    await until(
      () => producer.get(suspicious),
      (view) => view?.state === 'running',
    );
    await producer.stop(holder, { waitMs: 60_000 });
    assert.equal((await producer.result<Place>(suspicious)).isMainThread, false);
  });

  it('runs in the main thread without a loss, or if its handler is in no module', async (t) => {
    const inline = new ScriptedTask('inline.task');
    await start(t, { handlers: [inline.handler] });
    const fresh = await enqueue('killer.place', 0);
    assert.equal((await producer.result<Place>(fresh)).isMainThread, true);
    const { id } = await producer.enqueue(inline.definition, {});
    const first = await inline.call();
    first.returns('here');
    assert.equal(await producer.result(id), 'here');
    assert.equal(log.find(/thread of its own/).length, 0);
  });
});
