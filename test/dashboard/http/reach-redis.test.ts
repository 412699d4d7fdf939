import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { answered } from '../../../dashboard/http/reach-redis.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('a reply that arrived while the process was busy is in time; no reply is REDIS_UNAVAILABLE', async () => {
  await fleet.client.ping();
  const reply = answered(20, fleet.client.ping());
  await nextTurn();
  const busyUntil = performance.now() + 500;
  while (performance.now() < busyUntil);
  assert.equal(await reply, 'PONG');
  await assert.rejects(answered(20, new Promise(() => undefined)), { code: 'REDIS_UNAVAILABLE' });
});
