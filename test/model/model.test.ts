import { randomInt } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { assert, asyncProperty } from 'fast-check';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { commands } from './commands.js';
import { Runs } from './runs.js';

/** `RUNS=2000 SEED=42 npm run test:long`: the number of runs, and the seed of the first. */
const COUNT = Number(process.env['RUNS'] ?? 40);
const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));
/** The runs of one test, which has two minutes. */
const BATCH = 250;
/** The remaining time is for shrinking a failing run. */
const LIMIT_MS = 100_000;

describe('A fleet under random commands', () => {
  let fleet: TestFleet;
  let runs: Runs;

  before(async () => {
    console.log(`model: SEED=${SEED} RUNS=${COUNT}`);
    fleet = await TestFleet.start();
    runs = new Runs(fleet);
  });
  after(async () => {
    await runs.close();
    await fleet.stop();
  });

  for (let from = 0; from < COUNT; from += BATCH) {
    const numRuns = Math.min(BATCH, COUNT - from);
    const seed = SEED + from;
    it(`ends each task once, honours every stop and leaves nothing behind (SEED=${seed} RUNS=${numRuns})`, async () => {
      // Not fast-check's own limit, whose timer would keep the process alive. A late run counts as passed: only shrinking takes this
      // long, and it ends with the smallest failing run so far.
      const deadline = performance.now() + LIMIT_MS;
      const property = asyncProperty(commands, async (list) => {
        if (performance.now() < deadline) await runs.run(list);
      });
      await assert(property, { seed, numRuns, includeErrorInReport: true });
    });
  }
});
