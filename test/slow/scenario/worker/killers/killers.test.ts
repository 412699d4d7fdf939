import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { TestFleet } from '../../../../support/fleet/test-fleet.js';
import { KINDS, type OutbreakFigures, runOutbreak } from './outbreak.js';

const INNOCENT_MS = 2_000;
const QUICK = {
  // A worker with eight full threads on two busy cores renews its locks late.
  ...{ LOCK_DURATION_MS: '10000', STALLED_CHECK_INTERVAL_MS: '1000' },
  ...{ THREAD_MEMORY_MB: '64', NODE_OPTIONS: '--max-old-space-size=128' },
};
/** An endless loop is to end soon; a busy machine may take longer to use up the memory. */
const envOf = (kind: (typeof KINDS)[number]) => ({ ...QUICK, EVENT_LOOP_TIMEOUT_MS: kind === 'spins' ? '6000' : '60000' });
const CODES = { exits: 'THREAD_EXITED', grows: 'OUT_OF_MEMORY', spins: 'EVENT_LOOP_BLOCKED' } as const;

describe('A task that kills its worker, beside ten innocent tasks', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  for (const kind of KINDS) {
    it(`${kind}, in a module under \`up\`: kills one worker, then only its own thread`, async (t) => {
      const figures = await runOutbreak(fleet, { kind, retries: 3, place: 'up', innocentMs: INNOCENT_MS, env: envOf(kind) });
      assert.equal(figures.deaths, 1);
      // On a busy machine the task may lose its lock before it kills its thread, and runs in a thread again.
      assert.deepEqual([figures.killerRuns[0], ...new Set(figures.killerRuns.slice(1))], ['main', 'thread']);
      const { attempts, state } = figures.killer;
      assert.deepEqual([attempts?.[0]?.outcome, state, attempts?.at(-1)?.error?.code], ['worker_lost', 'failed', CODES[kind]]);
      assertCompleted(figures);
      t.diagnostic(`clear after ${figures.clearMs} ms; runs of the others: ${figures.innocentRuns.join(' ')}`);
    });

    it(`${kind}, inline: kills as many workers as its definition allows`, async (t) => {
      const retries = kind === 'exits' ? 1 : 0;
      const figures = await runOutbreak(fleet, { kind, retries, place: 'inline', innocentMs: INNOCENT_MS, env: envOf(kind) });
      assert.deepEqual(figures.killerRuns, Array(retries + 1).fill('main'));
      assert.deepEqual([figures.killer.state, figures.killer.attempts?.at(-1)?.error?.code], ['failed', 'WORKER_LOST']);
      assert.equal(figures.deaths, retries + 1);
      assertCompleted(figures);
      t.diagnostic(`clear after ${figures.clearMs} ms; runs of the others: ${figures.innocentRuns.join(' ')}`);
    });
  }

  it('with `retries: 0` runs once, even in a module', async () => {
    const figures = await runOutbreak(fleet, { kind: 'exits', retries: 0, place: 'up', innocentMs: INNOCENT_MS, env: envOf('exits') });
    assert.deepEqual([figures.killerRuns, figures.killer.attempts?.length, figures.deaths], [['main'], 1, 1]);
    assert.match(figures.killer.error ?? '', /^kill\.exits-0 runs at most once/);
    assertCompleted(figures);
  });
});

/** The innocent tasks lost their worker at most as often as one died. */
function assertCompleted({ innocents }: OutbreakFigures): void {
  assert.deepEqual([...new Set(innocents.map(({ state }) => state))], ['completed']);
}
