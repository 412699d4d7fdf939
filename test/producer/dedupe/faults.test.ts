import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { isFleetError } from '../../../shared/errors.js';
import { defineTask } from '../../../shared/task/definition.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.onOneServer();
after(() => fleet.stop());

const HOUR_MS = 3_600_000;
const note = defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP });
const LIVE = { dedupe: { key: 'k' } } as const;
const MODES = [
  LIVE,
  { dedupe: { key: 'k', mode: 'throttle', withinMs: HOUR_MS } },
  { dedupe: { key: 'k', mode: 'debounce', withinMs: HOUR_MS } },
] as const;

test('the repetition of an enqueue whose reply was lost is not a duplicate of itself', async () => {
  const proxy = await FaultProxy.start(fleet.redis.port);
  try {
    for (const [index, options] of MODES.entries()) {
      const keyPrefix = fleet.newPrefix();
      const producer = fleet.producer({ keyPrefix, redisUrl: proxy.url, reconnectDelayMs: 20 });
      for (const id of [undefined, 'mine'] as const) {
        const lost = proxy.loseReply(`lost-${index}-${id ?? ''}!`);
        const added = await producer.enqueue(note, `lost-${index}-${id ?? ''}!`, { ...options, id });
        await lost;
        assert.equal(added.duplicate, false);
        assert.deepEqual(await producer.enqueue(note, 'again', options), { ...added, duplicate: true });
        await producer.stop(added);
      }
    }
  } finally {
    await proxy.stop();
  }
});

test('an unreplicated enqueue is repeated under its id, and a duplicate is confirmed too', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix, enqueueWaitReplicas: 1, waitReplicasTimeoutMs: 50 });
  const ids: string[] = [];
  for (const id of [undefined, 'given'])
    await assert.rejects(producer.enqueue(note, {}, { ...LIVE, id }), (error) => {
      assert.ok(isFleetError(error, 'NOT_REPLICATED'), String(error));
      ids.push(...(error.details['ids'] as string[]));
      return true;
    });
  assert.equal(new Set(ids).size, 1);
  assert.deepEqual(await fleet.registrySize(keyPrefix), { ...EMPTY_REGISTRY, tasks: 1, queues: 1, live: 1 });
});
