import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { FleetClock } from '../../../shared/clock/fleet-clock.js';
import { LogLines } from '../../support/fleet/log-lines.js';

const HOUR_MS = 3_600_000;
/** For a pause of this process between two readings. */
const NEAR_MS = 5_000;

/** A Redis clock that is `aheadMs` ahead of this machine; the offset can be changed. */
function clockOf(redis: { aheadMs: number }): { clock: FleetClock; log: LogLines; asked: () => number } {
  const log = new LogLines();
  let asked = 0;
  const now = Date.now.bind(Date);
  const read = (): Promise<number> => {
    asked += 1;
    return Promise.resolve(now() + redis.aheadMs);
  };
  return { clock: new FleetClock({ read, logger: log.loggers('redis') }), log, asked: () => asked };
}

function setMachine(t: TestContext, shiftMs: number): void {
  const real = Date.now.bind(Date);
  t.mock.method(Date, 'now', () => real() + shiftMs);
}

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < NEAR_MS, `${actual} is not near ${expected}`);

describe("The fleet's clock", () => {
  for (const aheadMs of [HOUR_MS, -HOUR_MS, 0]) {
    it(`follows a Redis clock that is ${aheadMs} ms ahead of this machine`, async () => {
      const { clock } = clockOf({ aheadMs });
      assert.equal(clock.known, false);
      near(clock.now(), Date.now());
      await clock.measure();
      assert.equal(clock.known, true);
      near(clock.now(), Date.now() + aheadMs);
      near(clock.skewMs, -aheadMs);
    });
  }

  it("continues when this machine's clock is set, and asks Redis at once", async (t) => {
    const { clock, asked } = clockOf({ aheadMs: 0 });
    await clock.measure();
    const before = clock.now();
    setMachine(t, HOUR_MS);
    near(clock.now(), before);
    assert.equal(asked(), 2);
    await clock.measure();
    near(clock.skewMs, HOUR_MS);
  });

  it('follows Redis when its clock is set', async () => {
    const redis = { aheadMs: 0 };
    const { clock } = clockOf(redis);
    await clock.measure();
    for (const aheadMs of [HOUR_MS, -HOUR_MS, 0]) {
      redis.aheadMs = aheadMs;
      await clock.measure();
      near(clock.now(), Date.now() + aheadMs);
    }
  });

  it('does not jitter when answers agree with it', async () => {
    const { clock } = clockOf({ aheadMs: 0 });
    await clock.measure();
    const { skewMs } = clock;
    for (let times = 0; times < 20; times += 1) await clock.measure();
    assert.ok(Math.abs(clock.skewMs - skewMs) < 200, `${clock.skewMs} is not ${skewMs}`);
  });

  it("logs once that this machine's clock is wrong, and once that it is right again", async () => {
    const redis = { aheadMs: -HOUR_MS };
    const { clock, log } = clockOf(redis);
    await clock.measure();
    await clock.measure();
    assert.equal(log.find(/differs from Redis'/).length, 1);
    redis.aheadMs = 0;
    await clock.measure();
    await clock.measure();
    assert.deepEqual([log.find(/differs from Redis'/).length, log.find(/agrees with Redis' again/).length], [1, 1]);
  });

  it('keeps counting if Redis does not answer, and counts as known if Redis refuses the command', async () => {
    let answer = (): Promise<number> | null => null;
    const clock = new FleetClock({ read: () => answer(), logger: new LogLines().loggers('redis') });
    await clock.measure();
    answer = () => Promise.reject(new Error('away'));
    await clock.measure();
    assert.equal(clock.known, false);
    answer = () => Promise.reject(Object.assign(new Error('NOPERM'), { name: 'ReplyError' }));
    await clock.measure();
    assert.equal(clock.known, true);
    near(clock.now(), Date.now());
  });
});
