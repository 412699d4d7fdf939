import { randomInt } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type AsyncCommand, asyncModelRun, assert, asyncProperty } from 'fast-check';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { LimiterArena } from './arena.js';
import { commandsFor } from './commands.js';
import { bringToEnd } from './ending.js';
import { LimiterWorld } from './world.js';

/** `RUNS=2000 SEED=42 npm run test:long`: the number of runs, and the seed of the first. */
const COUNT = Number(process.env['RUNS'] ?? 60);
const SEED = Number(process.env['SEED'] ?? randomInt(2 ** 31));
/** The runs of one test, which has two minutes. */
const BATCH = 250;
/** Runs that once found a fault. */
const FOUND = [{ seed: 98_763_949, path: '47' }];
/** The remaining time is for shrinking a failing run. */
const LIMIT_MS = 100_000;

describe('The limiter under random steps of producers and workers', () => {
  let fleet: TestFleet;
  /** Null after a run that may have left something. */
  let arena: LimiterArena | null = null;

  before(async () => {
    console.log(`limiter model: SEED=${SEED} RUNS=${COUNT}`);
    fleet = await TestFleet.start();
  });
  after(async () => {
    await arena?.close();
    await fleet.stop();
  });

  async function run(commands: Iterable<AsyncCommand<object, LimiterWorld>>): Promise<void> {
    const own = arena ?? LimiterArena.open(fleet);
    arena = null;
    const world = new LimiterWorld(own);
    try {
      await asyncModelRun(() => ({ model: {}, real: world }), commands);
      await bringToEnd(world);
      arena = own;
    } finally {
      if (arena === null) await own.close();
    }
  }

  it('leaves no task waiting in runs that once did', async () => {
    for (const one of FOUND) await assert(asyncProperty(commandsFor(false), run), { ...one, numRuns: 1, endOnFailure: true });
  });

  for (let from = 0; from < COUNT; from += BATCH) {
    const numRuns = Math.min(BATCH, COUNT - from);
    const seed = SEED + from;
    for (const damaged of [false, true]) {
      const title = damaged
        ? 'lets every task run although records and keys are deleted'
        : 'keeps every limit and order, and leaves no task waiting';
      it(`${title} (SEED=${seed} RUNS=${numRuns})`, async () => {
        const deadline = performance.now() + LIMIT_MS;
        const property = asyncProperty(commandsFor(damaged), async (list) => {
          if (performance.now() < deadline) await run(list);
        });
        await assert(property, { seed, numRuns, includeErrorInReport: true });
      });
    }
  }
});
