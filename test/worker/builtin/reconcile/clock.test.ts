import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { ReconcileFleet } from '../../../support/fleet/reconcile-fleet.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** BullMQ's factor for due times in scores. */
const UNIT = 4_096;
const SLACK_MS = 20_000;

describe('The reconciler after a clock was ahead', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
  });

  const dueIn = async (id: string): Promise<number> =>
    Math.floor(Number(await fleet.client.zscore(`${rec.jobs}delayed`, id)) / UNIT) - Date.now();

  it('restarts delays that are too long from now, and keeps all others', async () => {
    const kept = await rec.enqueue({ delay: 30 * 24 * HOUR_MS });
    const wrong = await rec.enqueue({ delay: 5 * MINUTE_MS });
    const near = await rec.enqueue({ delay: 5 * MINUTE_MS });
    await fleet.client.zincrby(`${rec.jobs}delayed`, HOUR_MS * UNIT, wrong);
    const dueBefore = await fleet.client.zscore(`${rec.jobs}delayed`, near);
    await rec.run();
    assert.ok(Math.abs((await dueIn(wrong)) - 5 * MINUTE_MS) < SLACK_MS, `due in ${(await dueIn(wrong)) / 1_000} s`);
    assert.ok(Math.abs((await dueIn(kept)) - 30 * 24 * HOUR_MS) < SLACK_MS);
    assert.equal(await fleet.client.zscore(`${rec.jobs}delayed`, near), dueBefore);
    assert.equal(rec.log.find(/Shortened delays/).length, 1);
    await rec.run();
    assert.equal(rec.log.find(/Shortened delays/).length, 1);
  });

  it('does not change a job without a readable delay', async () => {
    const ids = await Promise.all([rec.enqueue({ delay: HOUR_MS }), rec.enqueue({ delay: HOUR_MS }), rec.enqueue({ delay: HOUR_MS })]);
    for (const id of ids) await fleet.client.zincrby(`${rec.jobs}delayed`, HOUR_MS * UNIT, id);
    await fleet.client.hset(rec.jobs + ids[0], 'delay', 0);
    await fleet.client.hset(rec.jobs + ids[1], 'delay', 'abc');
    await fleet.client.hdel(rec.jobs + ids[2], 'delay');
    await rec.run();
    for (const id of ids) assert.ok((await dueIn(id)) > HOUR_MS + MINUTE_MS);
  });

  it('restarts the age of an entry registered in the future', async () => {
    await rec.register('ahead', { ageMs: -HOUR_MS });
    await rec.run();
    const score = Number(await fleet.client.zscore(rec.keys.live, 'ahead'));
    assert.ok(Math.abs(score - Date.now()) < SLACK_MS, `${score}`);
  });
});
