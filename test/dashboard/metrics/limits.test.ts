import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { limitSamples } from '../../../dashboard/metrics/limit-samples.js';
import { queueSamples } from '../../../dashboard/metrics/queue-samples.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { lineUp, placeStep } from '../../support/task/line.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const chat = defineTask({ name: 'chat', input: z.object({}), retention: KEEP });

test('tasks in line are counted by name and apart from delayed jobs, without their keys', async () => {
  const producer = fleet.producer();
  await producer.ping();
  const { store } = producer;
  assert.deepEqual(
    (await limitSamples(store)).map(({ metric, value }) => [metric, value]),
    [
      ['taskfleet_limit_lines', 0],
      ['taskfleet_limit_oldest_wait_seconds', 0],
    ],
  );
  for (const id of ['a', 'b', 'c']) await lineUp(producer, chat, { id, steps: [placeStep('chat', 'secret-key')] });
  await producer.enqueue(chat, {}, { id: 'delayed-1', delay: 60_000 });
  await store.redis.hset(store.keys.limiter('waiting'), 'name:odd', 'many', 'name:a b', '2');
  const samples = await limitSamples(store);
  assert.ok(!JSON.stringify(samples).includes('secret'));
  assert.deepEqual(
    samples.slice(0, -1).map(({ metric, labels, value }) => [metric, labels, value]),
    [
      ['taskfleet_tasks_in_line', { name: 'chat' }, 2],
      ['taskfleet_tasks_in_line', { name: 'odd' }, 0],
      ['taskfleet_tasks_in_line', { name: 'unknown' }, 2],
      ['taskfleet_limit_lines', {}, 1],
    ],
  );
  assert.ok((samples.at(-1)?.value ?? 0) > 0);
  const depths = (await queueSamples(store)).flatMap(({ metric, labels, value }) =>
    metric === 'taskfleet_queue_jobs' && labels['queue'] === 'chat' && value > 0 ? [[labels['state'], value]] : [],
  );
  assert.deepEqual(depths, [
    ['waiting', 1],
    ['delayed', 1],
    ['in-line', 2],
  ]);
});
