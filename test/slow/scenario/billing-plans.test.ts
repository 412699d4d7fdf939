import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { billingInitPlans } from '../../../worker/builtin/definitions.js';
import { QUICK, startWorker } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FleetProxy } from '../../support/network/fleet-proxy.js';

const LIMIT_MS = 120_000;

describe('billing.init-plans after the death of its worker half way', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('completes on another worker and in another run, without duplicate or recreated plans', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    // Just before it writes the fourth plan.
    const proxy = await FleetProxy.start(fleet.redis);
    const held = proxy.halfOpenAt('{"id":"starter-welcome"');
    const dying = await startWorker(fleet.redis, keyPrefix, { ...QUICK, ...proxy.env });
    const input = { include_annual: true, include_promo: true };
    const interrupted = await producer.enqueue(billingInitPlans, input);
    await held;
    dying.kill('SIGKILL');
    await dying.exit;
    await proxy.stop();
    const done = (await producer.billing.plans()).plans;
    assert.deepEqual(
      done.map(({ id }) => id),
      ['free', 'starter', 'starter-annual'],
    );

    const heir = await startWorker(fleet.redis, keyPrefix, QUICK);
    try {
      const again = await producer.enqueue(billingInitPlans, input);
      const outputs = await Promise.all([again, interrupted].map((task) => producer.result(task, { timeoutMs: LIMIT_MS })));
      for (const { created, updated, skipped, total } of outputs) assert.deepEqual([created + skipped, updated, total], [9, 0, 9]);
      assert.equal(
        outputs.reduce((sum, { created }) => sum + created, 0),
        9 - done.length,
      );
      const { plans, invalid } = await producer.billing.plans();
      assert.deepEqual([plans.length, new Set(plans.map(({ id }) => id)).size, invalid], [9, 9, []]);
      assert.deepEqual(plans.slice(0, done.length), done);
    } finally {
      await heir.stop();
    }
  });
});
