import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StopRequested } from '../../../../shared/stop/cause.js';
import { fleetCanaryHandler } from '../../../../worker/builtin/canary/handler.js';
import { fleetCanary } from '../../../../worker/builtin/definitions.js';
import { createFakeContext, runHandler } from '../../../support/task/task-context.js';

const isolated = (input: object) => fleetCanaryHandler.isolated(fleetCanary.input.parse(input));

describe('fleet.canary', () => {
  it('runs for a second and cooperates by default', () => {
    assert.deepEqual(fleetCanary.input.parse({}), { run_ms: 1_000, mode: 'cooperative' });
    for (const bad of [{ run_ms: -1 }, { run_ms: 3_600_001 }, { run_ms: 0.5 }, { mode: 'asleep' }, { run_for: 1 }]) {
      assert.equal(fleetCanary.input.safeParse(bad).success, false, JSON.stringify(bad));
    }
  });

  it('waits for run_ms and reports progress', async () => {
    const fake = createFakeContext(fleetCanary, { run_ms: 600 });
    const output = await runHandler(fleetCanary, fleetCanaryHandler, fake);
    assert.equal(output.mode, 'cooperative');
    assert.ok(output.ran_ms >= 600, `ran ${output.ran_ms} ms`);
    const percents = fake.progress as number[];
    assert.equal(percents[0], 0);
    assert.equal(percents.at(-1), 100);
    assert.ok(percents.length >= 3, `progress was ${percents.join(', ')}`);
    assert.deepEqual(
      percents,
      percents.toSorted((a, b) => a - b),
    );
  });

  it('returns at once if run_ms is 0', async () => {
    const fake = createFakeContext(fleetCanary, { run_ms: 0 });
    await runHandler(fleetCanary, fleetCanaryHandler, fake);
    assert.deepEqual(fake.progress, [100]);
  });

  it('when cooperative, throws the reason of the abort at once', async () => {
    const reason = new StopRequested('enough', 'a test');
    const fake = createFakeContext(fleetCanary, { run_ms: 3_600_000 }, { onProgress: () => setImmediate(() => fake.abort(reason)) });
    await assert.rejects(runHandler(fleetCanary, fleetCanaryHandler, fake), (error) => error === reason);
  });

  it('when cooperative, does not start after an abort', async () => {
    const reason = new StopRequested();
    const fake = createFakeContext(fleetCanary, { run_ms: 0 });
    fake.abort(reason);
    await assert.rejects(runHandler(fleetCanary, fleetCanaryHandler, fake), (error) => error === reason);
    assert.deepEqual(fake.progress, []);
  });

  for (const mode of ['deaf', 'spin'] as const) {
    it(`when ${mode}, ignores an abort`, async () => {
      const fake = createFakeContext(fleetCanary, { run_ms: 30, mode });
      fake.abort(new StopRequested());
      const output = await runHandler(fleetCanary, fleetCanaryHandler, fake);
      assert.equal(output.mode, mode);
      assert.ok(output.ran_ms >= 30, `ran ${output.ran_ms} ms`);
    });
  }

  it('is isolated only to spin', () => {
    assert.equal(isolated({ mode: 'spin' }), true);
    assert.equal(isolated({ mode: 'deaf' }), false);
    assert.equal(isolated({}), false);
    assert.equal(fleetCanaryHandler.alwaysIsolated, false);
  });
});
