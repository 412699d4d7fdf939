import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { ScenarioWorkers } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { built } from '../../support/process/built.js';
import { until } from '../../support/until.js';

/** A minute's limit in six seconds; RATE_PER_MS=60000 runs it at full length. */
const PER_MS = Number(process.env['RATE_PER_MS'] ?? 6_000);
const WINDOWS = 3;
const RATE = { limit: 60, per: PER_MS, burst: 6 };
const TASKS = RATE.limit * (WINDOWS + 1);
const TEN_MINUTES_MS = 600_000;

let fleet: TestFleet;
before(async () => {
  fleet = await TestFleet.start();
});
after(() => fleet.stop());

test('Three workers, one with a clock ten minutes off, start no more tasks in any window than limit and burst', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const starts = `${keyPrefix}-starts`;
  const workers = new ScenarioWorkers(fleet.redis, keyPrefix, {
    TASK_MODULES: built('test/support/task/rate-tasks.mjs'),
    RATE: JSON.stringify(RATE),
    STARTS: starts,
  });
  t.after(() => workers.stop());
  await Promise.all([workers.start(), workers.start(), workers.start({ CLOCK_SHIFT_MS: String(TEN_MINUTES_MS) })]);
  const producer = fleet.producer({ keyPrefix });
  const definition = defineTask({ name: 'rate.task', input: z.object({}), rate: RATE });
  await producer.enqueueMany(
    definition,
    Array.from({ length: TASKS }, () => ({ input: {} })),
  );
  const noted = (): Promise<string[]> => fleet.client.lrange(starts, 0, -1);
  const [first] = (await until(noted, (found) => found.length > 0, { timeoutMs: 60_000, everyMs: 50 })).map(Number) as [number];
  const read = await until(noted, (found) => Number(found.at(-1)) >= first + WINDOWS * PER_MS, {
    timeoutMs: (WINDOWS + 1) * PER_MS + 60_000,
    everyMs: 500,
  });
  const times = read.map(Number).toSorted((a, b) => a - b);
  const inWindow = times.map((from) => times.filter((at) => at >= from && at < from + PER_MS).length);
  const most = Math.max(...inWindow);
  t.diagnostic(`${times.length} starts in ${(times.at(-1) ?? 0) - first} ms; at most ${most} in a window of ${PER_MS} ms`);
  assert.ok(most <= RATE.limit + RATE.burst, `${most} starts in one window`);
  // The rate is used up, at least in a window without a pause of this machine: at most a tenth is lost to the workers' fetches.
  assert.ok(most >= RATE.limit * 0.9, `at most ${most} starts in a window`);
});
