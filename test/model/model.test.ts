import { randomInt } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { assert, asyncProperty } from 'fast-check';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { commands } from './commands.js';
import { Runs } from './runs.js';

/** `RUNS=2000 SEED=42 npm run test:long`: how many runs, and the seed of the first. */
const COUNT = Number(process.env['RUNS'] ?? 40);
const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));
/** Runs of one test, which has two minutes. */
const BATCH = 250;
/** The rest is for finding the smallest run that fails. */
const LIMIT_MS = 100_000;

describe('A fleet of which anything is asked, in any order,', () => {
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
    it(`ends each task once, stops what was stopped and leaves nothing behind (SEED=${seed} RUNS=${numRuns})`, async () => {
      // Not fast-check's own limit, whose timer would keep the process. A run that is late counts as passed: only the
      // search for a smaller one that fails takes so long, and it ends with what it has found.
      const deadline = performance.now() + LIMIT_MS;
      const property = asyncProperty(commands, async (list) => {
        if (performance.now() < deadline) await runs.run(list);
      });
      await assert(property, { seed, numRuns, includeErrorInReport: true });
    });
  }
});
