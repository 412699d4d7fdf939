import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Queue } from 'bullmq';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../worker/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';

const WINDOW_MS = 500;

let fleet: TestFleet;
before(async () => {
  fleet = await TestFleet.start();
});
after(() => fleet.stop());

test("BullMQ's own rate limit of a queue holds beside the rates of its definitions", async () => {
  const prefix = fleet.newPrefix();
  const definition = defineTask({ name: 'limited.task', input: z.object({}), rate: { limit: 1_000, per: '1s' }, retention: KEEP });
  const queue = new Queue(definition.queue, { connection: fleet.redis.client(), prefix: fleet.keys(prefix).bull(definition.queue) });
  await queue.setGlobalRateLimit(2, WINDOW_MS);
  const starts: number[] = [];
  const handler = defineHandler(definition, () => void starts.push(performance.now()));
  await fleet.worker(prefix, [handler]);
  await fleet.worker(prefix, [handler]);
  const producer = fleet.producer({ keyPrefix: prefix });
  await producer.enqueueMany(
    definition,
    Array.from({ length: 8 }, () => ({ input: {} })),
  );
  await until(
    () => starts.length,
    (count) => count === 8,
  );
  await queue.close();
  // Two tasks in each window: the last of eight starts three windows after the first ones at the earliest.
  const took = (starts.at(-1) ?? 0) - (starts[0] ?? 0);
  assert.ok(took >= 2 * WINDOW_MS, `${took} ms for eight tasks`);
  await fleet.emptied(prefix);
});
