import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { checkLimits } from '../../../cli/doctor/limit-checks.js';
import { Findings, checkRecords } from '../../../cli/doctor/record-checks.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { lineUp, placeStep } from '../../support/task/line.js';

const fleet = await TestFleet.onOneServer();
after(() => fleet.stop());

const chat = defineTask({ name: 'chat', input: z.object({}), retention: KEEP });
const MINUTE_MS = 60_000;

async function open() {
  const producer = fleet.producer();
  await producer.ping();
  const { keys } = producer.store;
  const source = { redis: fleet.client, keys, unreadable: new Findings() };
  const check = async (later = 0): Promise<string[]> =>
    (await checkLimits(source, Date.now() + later)).map(
      ({ level, message, advice }) => `${level} ${message}${advice === null ? '' : ' →'}`,
    );
  return { producer, keys, source, check };
}

test('the doctor names the key whose task has waited longest, and warns of a long wait', async () => {
  const { producer, check } = await open();
  assert.deepEqual(await check(), ['ok no task in line']);
  for (const id of ['a', 'b', 'c']) await lineUp(producer, chat, { id, steps: [placeStep('chat', 'chat:1')] });
  assert.deepEqual(await check(), ['ok 2 tasks in line for 1 key, the oldest for 0s: chat:1 (limit 1, 1 running)']);
  assert.deepEqual(await check(11 * MINUTE_MS), ['warn 2 tasks in line for 1 key, the oldest for 11m: chat:1 (limit 1, 1 running) →']);
  await producer.store.limiter.set('task:chat:*', 0);
  assert.deepEqual((await check()).slice(1), ['warn a limit of 0 lets no task start: each key of chat →']);
});

test('the doctor finds places of ended tasks, and records that cannot be read', async () => {
  const { producer, keys, source, check } = await open();
  await lineUp(producer, chat, { id: 'a', steps: [placeStep('chat', 'chat:1')] });
  await lineUp(producer, chat, { id: 'b', steps: [placeStep('chat', 'chat:1')] });
  assert.equal((await check()).length, 1);
  await fleet.client.zadd(keys.limiter('places:task:chat:chat:1'), 1, 'long-gone');
  assert.deepEqual((await check()).slice(1), ['warn places are held by tasks that have ended: long-gone →']);
  await fleet.client.hset(keys.limiter('tasks'), 'odd', '{"queue":7}');
  await fleet.client.hset(keys.limiter('set'), 'task:chat:x', 'many');
  await check();
  const lines = (await checkRecords(source)).map(({ message, advice }) => `${message} → ${advice}`);
  assert.deepEqual(
    lines.filter((line) => line.includes('limits:')),
    [
      `${keys.limiter('set')} "task:chat:x" is unreadable: expected a whole number, got "many" → redis-cli HDEL ${keys.limiter('set')} task:chat:x`,
      `${keys.limiter('tasks')} "odd" is unreadable: queue: expected a string, got number → redis-cli HDEL ${keys.limiter('tasks')} odd`,
    ],
  );
});
