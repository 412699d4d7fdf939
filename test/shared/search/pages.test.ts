import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}) });
const IDS = Array.from({ length: 30 }, (_, n) => `t${String(n).padStart(2, '0')}`);

for (const order of ['newest', 'oldest'] as const) {
  test(`tasks that end and come between two pages do not duplicate or hide others, ${order} first`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.subarray(IDS), fc.integer({ min: 1, max: 21 }), async (ended, seen) => {
        const producer = fleet.producer({ keyPrefix: fleet.newPrefix() });
        await producer.enqueueMany(
          note,
          IDS.map((id) => ({ input: {}, id })),
        );
        const first = await producer.list({ limit: seen, order });
        await producer.stop(ended);
        await producer.enqueue(note, {}, { id: 'new' });
        const rest = await producer.list({ order, ...(first.next !== null && { after: first.next }) });
        const all = [...first.tasks, ...rest.tasks].map(({ id }) => id);
        assert.equal(new Set(all).size, all.length, 'no duplicates');
        assert.deepEqual(
          IDS.filter((id) => !all.includes(id) && !ended.includes(id)),
          [],
          'no task missing',
        );
        assert.equal(rest.next, null);
      }),
      { numRuns: 10 },
    );
  });
}
