import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { array, asyncProperty, assert as assertProperty } from 'fast-check';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { RaceFleet } from './race-fleet.js';
import { action, race } from './race.js';

/** `RUNS=2000 SEED=42 npm run test:long`: the number of runs, and the seed of the first. The seed gives the actions, not their interleaving. */
const COUNT = Number(process.env['RUNS'] ?? 4);
const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));
/** The runs of one test, which has two minutes. */
const BATCH = 30;
const LIMIT_MS = 90_000;

describe('A fleet whose tasks line up, under random actions', () => {
  let fleet: TestFleet;
  /** Null after a run that may have left something. */
  let arena: RaceFleet | null = null;

  before(async () => {
    console.log(`race: SEED=${SEED} RUNS=${COUNT}`);
    fleet = await TestFleet.start();
  });
  after(async () => {
    await arena?.close();
    await fleet.stop();
  });

  for (let from = 0; from < COUNT; from += BATCH) {
    const numRuns = Math.min(BATCH, COUNT - from);
    const seed = SEED + from;
    it(`never runs more tasks of a key than its limit, and leaves no place taken (SEED=${seed} RUNS=${numRuns})`, async () => {
      const deadline = performance.now() + LIMIT_MS;
      const total = { runs: 0, overlaps: 0, skipped: 0 };
      const property = asyncProperty(array(action, { minLength: 10, maxLength: 40, size: 'max' }), async (actions) => {
        if (performance.now() > deadline) return void (total.skipped += 1);
        const own = arena ?? (await RaceFleet.open(fleet));
        arena = null;
        try {
          const report = await race(own, actions);
          assert.deepEqual(report.violations, []);
          assert.equal(report.open, 0);
          total.runs += report.runs;
          total.overlaps += report.overlaps;
          arena = own;
        } finally {
          if (arena === null) await own.close();
        }
      });
      // The interleaving differs at each run, so a failing one is not shrunk.
      await assertProperty(property, { seed, numRuns, endOnFailure: true, includeErrorInReport: true });
      const { runs, overlaps, skipped } = total;
      console.log(
        `race: ${runs} attempts, ${overlaps} beside one of a dead worker${skipped > 0 ? `; ${skipped} runs skipped: no time` : ''}`,
      );
    });
  }
});
