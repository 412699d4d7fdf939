import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { exitCodeOf } from '../../../cli/errors.js';
import { FleetError } from '../../../shared/errors.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { serveApi } from './serve-api.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('an unreplicated write yields 503 with its details, and a repeat with the same key enqueues no second task', async () => {
  const producer = fleet.producer({ enqueueWaitReplicas: 1, stopWaitReplicas: 1, waitReplicasTimeoutMs: 20 });
  const api = await serveApi({ producer });
  try {
    const add = () => api.send('POST', '/tasks', { json: { name: 'fleet.canary', item: 'chat' }, headers: { 'idempotency-key': '"a"' } });
    const [first, second] = [await add(), await add()];
    const problem = first.body as { code: string; ids: string[]; replicas: number; wanted: number };
    assert.deepEqual(
      [first.status, problem.code, problem.replicas, problem.wanted, first.headers['retry-after']],
      [503, 'NOT_REPLICATED', 0, 1, '2'],
    );
    assert.deepEqual((second.body as typeof problem).ids, problem.ids);
    assert.deepEqual(
      (await producer.list()).tasks.map(({ id }) => id),
      problem.ids,
    );
    const stopped = await api.send('POST', `/tasks/${problem.ids[0]}/stop`, { json: { reason: 'enough' } });
    const { code, receipts } = stopped.body as { code: 'NOT_REPLICATED'; receipts: { outcome: string; reason: string }[] };
    assert.deepEqual(
      [stopped.status, code, receipts.map(({ outcome, reason }) => [outcome, reason])],
      [503, 'NOT_REPLICATED', [['cancelled', 'enough']]],
    );
    assert.equal(exitCodeOf(new FleetError(code, 'one replica of two')), 69);
    assert.equal((await api.send('POST', '/items/chat/stop', { json: {} })).status, 200, 'nothing is live there any more');
  } finally {
    await api.close();
  }
});
