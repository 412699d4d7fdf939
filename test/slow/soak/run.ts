/**
 * One soak, in the process started by main.ts, with the options as JSON in argv. A message from main.ts, or its end, ends the load
 * early.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SoakOptions } from './options.js';
import { plotOf } from './report/plot.js';
import { shown } from './report/verdict.js';
import { Soak } from './soak.js';

const PROBLEMS_SHOWN = 20;

const options = JSON.parse(process.argv[2] ?? '') as SoakOptions;
const say = (line: string): void => console.error(line);
const ending = new AbortController();
const endEarly = (): void => {
  if (!ending.signal.aborted) say('Ending early: the audit follows.');
  ending.abort();
};
for (const event of ['message', 'disconnect'] as const) process.on(event, endEarly);

const soak = await Soak.open(options, say);
try {
  await soak.run(ending.signal);
  const result = await soak.settle();
  mkdirSync(options.out, { recursive: true });
  const [plot, figures] = ['soak.svg', 'soak.json'].map((name) => join(options.out, name)) as [string, string];
  writeFileSync(plot, plotOf(result));
  writeFileSync(figures, `${JSON.stringify(result, null, 1)}\n`);
  const { audit, growths, untold, problems } = result;
  say(
    [
      `\nAudit: ${audit.acknowledged} tasks acknowledged`,
      `${audit.completed} completed, ${audit.failed} failed, ${audit.cancelled} cancelled`,
      `lost ${audit.lost}, two outcomes ${audit.twoOutcomes}`,
      `${audit.stopsAcknowledged} stops, lost ${audit.stopsLost}`,
      `ran again ${audit.ranAgain}`,
      `added despite a rejected enqueue ${audit.madeThoughRejected}`,
    ].join('; '),
  );
  for (const { name, before, after, unit, grew } of growths)
    say(`${grew ? 'GREW  ' : 'steady'} ${name}: ${shown(before, unit)} → ${shown(after, unit)}`);
  if (untold.length > 0)
    say(growths.length > 0 ? `Too few samples of: ${untold.join(', ')}` : 'Too short to tell whether anything grew: that takes 5 minutes.');
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) say(`PROBLEM: ${problem}`);
  if (problems.length > PROBLEMS_SHOWN) say(`… and ${problems.length - PROBLEMS_SHOWN} more, in ${figures}`);
  if (problems.length > 0) writeFileSync(join(options.out, 'workers.log'), `${soak.lastLines()}\n`);
  say(
    problems.length > 0
      ? `Not clean. Seed ${options.seed}.`
      : `Clean: every task accounted for${growths.length > 0 ? ', nothing grew' : ''}.`,
  );
  console.log(plot);
  console.log(figures);
  process.exitCode = problems.length > 0 ? 1 : 0;
} finally {
  await soak.close();
}
// The channel to main.ts would keep this process alive.
process.off('disconnect', endEarly);
if (process.connected) process.disconnect();
