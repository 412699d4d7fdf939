/** Prints what each killer costs with default settings: `node --import tsx test/slow/scenario/worker/killers/main.ts [innocent ms]`. */
import { TestFleet } from '../../../../support/fleet/test-fleet.js';
import { KINDS, runOutbreak } from './outbreak.js';

const innocentMs = Number(process.argv[2] ?? 30_000);
const only = process.argv[3];
const fleet = await TestFleet.onOneServer();
console.log('| killer | handlers | retries | its runs | it ends as | runs of the 10 others | their losses | all clear after |');
console.log('|---|---|---|---|---|---|---|---|');
try {
  for (const place of ['up', 'inline'] as const) {
    for (const kind of KINDS) {
      for (const retries of [0, 1, 3] as const) {
        const name = `${place}-${kind}-${retries}`;
        if (only !== undefined && !new RegExp(only).test(name)) continue;
        const { killerRuns, killer, innocentRuns, innocents, clearMs } = await runOutbreak(fleet, { kind, retries, place, innocentMs });
        const completed = innocents.filter(({ state }) => state === 'completed').length;
        const runs = innocentRuns.reduce((sum, one) => sum + one, 0);
        console.log(
          `| ${kind} | ${place === 'up' ? 'in a module' : 'inline'} | ${retries} | ${killerRuns.join(', ')} | ${killer.state}: ` +
            `${killer.error?.slice(0, 60)} | ${runs}, at most ${Math.max(...innocentRuns)}; ${completed} completed | ` +
            `${innocentRuns.filter((one) => one > 1).length} tasks | ${Math.round(clearMs / 100) / 10} s |`,
        );
      }
    }
  }
} finally {
  await fleet.stop();
}
