/** `npm run bench:profile`: records where the CPU time of a phase goes; `-- --help` lists the options. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { Profiler } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startTestRedis } from '../../test/support/redis/test-redis.js';
import { flameGraph } from './flame-graph.js';
import { framesOf, tableOf } from './frames.js';
import { PHASES, type PhaseName, SIDES } from './sides.js';

const USAGE = `npm run bench:profile [-- --side fleet|bare] [--phase process|enqueue] [--tasks 10000] [--out profile]
                          [--scale µs] [--title text] [--from file.cpuprofile]

Writes OUT/SIDE-PHASE.cpuprofile, .txt (self time by module and by function) and .svg (flame graph).
--scale  the width of the graph in µs per job, to compare two graphs
--from   draws a stored profile of as many tasks instead of recording one`;

const SAMPLE_US = 200;

const { values: given } = parseArgs({
  options: {
    side: { type: 'string', default: 'fleet' },
    phase: { type: 'string', default: 'process' },
    tasks: { type: 'string', default: '10000' },
    out: { type: 'string', default: 'profile' },
    scale: { type: 'string' },
    title: { type: 'string' },
    from: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const { side, phase } = given;
const tasks = Number(given.tasks);
if (given.help) console.log(USAGE);
else if ((side === 'fleet' || side === 'bare') && isPhase(phase) && tasks > 0) {
  const profile =
    given.from === undefined ? await record(side, phase) : (JSON.parse(await readFile(given.from, 'utf8')) as Profiler.Profile);
  await report(profile);
} else {
  console.error(USAGE);
  process.exitCode = 2;
}

function isPhase(name: string): name is PhaseName {
  return PHASES.some((known) => known === name);
}

/** Runs the side twice, the first time to warm up, and records the phase of the second run. */
async function record(name: keyof typeof SIDES, recorded: PhaseName): Promise<Profiler.Profile> {
  const redis = await startTestRedis();
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US });
  const load = { tasks, inFlight: 500, concurrency: 64 };
  let profile: Profiler.Profile | null = null;
  await SIDES[name](redis.url, load, async (_, work) => void (await work()));
  await redis.client().flushall();
  await SIDES[name](redis.url, load, async (current, work) => {
    if (current === recorded) await session.post('Profiler.start');
    await work();
    if (current === recorded) ({ profile } = await session.post('Profiler.stop'));
  });
  session.disconnect();
  await redis.stop();
  if (profile === null) throw new Error(`no profile of ${recorded} was recorded`);
  return profile;
}

async function report(profile: Profiler.Profile): Promise<void> {
  const root = framesOf(profile, tasks);
  const path = join(given.out, `${side}-${phase}`);
  const title = `${given.title ?? `${side}, ${phase}`}: ${root.total.toFixed(0)} µs of CPU per job`;
  const table = tableOf(root).join('\n');
  await mkdir(given.out, { recursive: true });
  if (given.from === undefined) await writeFile(`${path}.cpuprofile`, JSON.stringify(profile));
  await writeFile(`${path}.txt`, `${table}\n`);
  await writeFile(`${path}.svg`, flameGraph(root, title, Number(given.scale ?? root.total)));
  console.log(`${title}\n${table.split('\n\n')[0]}\nWritten: ${path}.cpuprofile, .txt, .svg`);
}
