import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../../worker/index.js';
import { endOf } from '../../../support/fleet/own-worker.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { builtUrl } from '../../../support/process/built.js';
import { KEEP } from '../../../support/task/keep.js';
import { until } from '../../../support/until.js';

/** The worker is compiled: threads load modules without the loader of the tests. */
const COMPILED = builtUrl('dist/worker/index.js');
const { createWorker } = (await import(COMPILED)) as typeof import('../../../../worker/index.js');

/** No token comes back while a test runs. */
const RATE = "{ group: 'tokens', limit: 1_000, per: '1d', burst: 1_000, cost: () => 600 }";
const TOKEN_MS = 86_400;
const MODULE = `
import { z } from '${import.meta.resolve('zod')}';
import { defineHandler, defineTask } from '${COMPILED}';

const task = defineTask({ name: 'thread.spends', input: z.any(), retention: ${JSON.stringify(KEEP)} });
const handle = async ({ input: { costs, spins }, spend, emit, signal }) => {
  for (const cost of costs) spend(cost);
  emit('spent');
  while (spins);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
};
export default [defineHandler(task, handle, { isolate: true, rate: ${RATE} })];
`;
const spends = defineTask({ name: 'thread.spends', input: z.any(), retention: KEEP });

describe('context.spend in a thread', () => {
  let fleet: TestFleet;
  let folder: string;

  before(async () => {
    fleet = await TestFleet.start();
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-spend-'));
    await writeFile(join(folder, 'tasks.mjs'), MODULE);
  });
  after(async () => {
    await fleet.stop();
    await rm(folder, { recursive: true });
  });

  it('corrects the cost while the task runs, also of one that is terminated, and refuses a bad cost', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const worker = await createWorker({
      ...{ redisUrl: fleet.redis.url, keyPrefix, cwd: folder, taskModules: ['tasks.mjs'] },
      ...{ threads: 1, shutdownTimeoutMs: 0, stopGraceMs: 50, logLevel: 'silent' },
    });
    t.after(() => worker.stop());
    await worker.start();
    await worker.ready();
    const missing = async (): Promise<number> => {
      const stored = await fleet.client.get(`${fleet.keys(keyPrefix).limiter('rate:')}rate:group:tokens#0:`);
      const [seconds = 0] = (await fleet.client.time()).map(Number);
      return Math.max(0, Math.round((Number(stored?.split(' ')[0] ?? 0) - seconds * 1_000) / TOKEN_MS));
    };
    const missingIs = (tokens: number): Promise<number> => until(missing, (found) => found === tokens);

    const first = await producer.enqueue(spends, { costs: [700, 5] });
    await missingIs(5);
    await producer.stop(first.id, { waitMs: 60_000 });
    const second = await producer.enqueue(spends, { costs: [50], spins: true });
    await missingIs(55);
    await producer.stop(second.id, { waitMs: 60_000 });
    for (const [cost, shown] of [
      [-1, '-1'],
      ['5', '"5"'],
    ] as const) {
      const bad = await producer.enqueue(spends, { costs: [0, cost] });
      assert.match((await endOf(producer, bad.id)).error ?? '', new RegExp(`^context\\.spend: expected a number from 0, got ${shown}$`));
    }
    await missingIs(55);
  });
});
