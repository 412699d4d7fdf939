import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('the stop of an item settles more delayed tasks than one script takes', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const later = defineTask({ name: 'later', queue: 'later', input: z.object({}) });
  const tasks = await producer.enqueueMany(
    later,
    Array.from({ length: 250 }, () => ({ input: {}, item: 'chat:1', delay: 60_000 })),
  );
  const receipts = await producer.stopItem('chat:1');
  assert.deepEqual(new Set(receipts.map(({ id }) => id)), new Set(tasks.map(({ id }) => id)));
  assert.ok(receipts.every(({ outcome }) => outcome === 'cancelled'));
  await fleet.emptied(keyPrefix);
});
