/** `npm run bench`: runs the suites of bench/; `-- --help` lists the options. Tables go to stdout, progress to stderr. */
import { join } from 'node:path';
import { startTestRedis } from '../test/support/redis/test-redis.js';
import { checkLines, checkRun, hasFallen } from './command/check.js';
import { type BenchOptions, helpText, listText, parseOptions, planRun } from './command/options.js';
import { publishRun } from './command/publish.js';
import { type StoredRun, readRun, requireWritable, writeRun } from './command/stored-run.js';
import { UsageError } from './command/usage-error.js';
import { describeMachine, differences, machineLines } from './harness/machine.js';
import { untilQuiet } from './harness/quiet.js';
import { type Output, runSuites, suiteText } from './harness/run.js';
import { SUITES } from './suites.js';

const ROOT = join(import.meta.dirname, '..');
const CLEAR_LINE = '\r\u001B[K';

const output: Output = {
  print: (text) => {
    if (process.stderr.isTTY) process.stderr.write(CLEAR_LINE);
    process.stdout.write(`${text}\n`);
  },
  progress: (text) => process.stderr.write(process.stderr.isTTY ? `${CLEAR_LINE}${text}` : `${text}\n`),
};

try {
  const options = parseOptions(process.argv.slice(2), SUITES);
  if (options.help) output.print(helpText(SUITES));
  else if (options.list) output.print(listText(SUITES));
  else if (options.from !== null) await show(await readRun(options.from), options);
  else process.exitCode = (await bench(options)) ? 0 : 1;
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}

/** Prints a stored run, or writes it into the documentation. */
async function show(run: StoredRun, { docs }: BenchOptions): Promise<void> {
  for (const line of machineLines(run.machine)) output.print(line);
  for (const suite of run.suites) output.print(suiteText(suite));
  if (docs) await publish(run);
}

async function publish(run: StoredRun): Promise<void> {
  const changed = await publishRun(ROOT, run, SUITES);
  output.print(changed.length === 0 ? '\nNo page of docs/ changed' : `\nWrote ${changed.join(', ')}`);
}

/** Returns false if a suite failed or a ratio fell. */
async function bench(options: BenchOptions): Promise<boolean> {
  const base = options.check === null ? null : await readRun(options.check);
  if (options.json !== null) await requireWritable(options.json);
  const planned = planRun(options, SUITES, base);
  const redis = await startTestRedis();
  try {
    if (options.docs || options.json !== null) await untilQuiet((line) => output.progress(line));
    const machine = await describeMachine(redis.client());
    for (const line of machineLines(machine)) output.print(line);
    const at = new Date().toISOString();
    const { suites, failed } = await runSuites(planned, redis, output);
    if (options.json !== null) await writeRun(options.json, { at, machine, suites });
    if (options.docs) await publish({ at, machine, suites });
    if (failed.length > 0) output.print(`\nFailed: ${failed.join(', ')}`);
    if (base === null) return failed.length === 0;
    const stored = base.suites.filter(({ name }) => suites.some((suite) => suite.name === name));
    const compared = await checkRun(stored, suites, (names) =>
      runSuites(
        planned.filter(({ suite }) => names.includes(suite.name)),
        redis,
        output,
      ).then((again) => again.suites),
    );
    output.print(`\n## Beside the run of ${base.at}`);
    for (const difference of differences(base.machine, machine)) output.print(`Another machine: ${difference}`);
    for (const line of checkLines(compared)) output.print(line);
    return failed.length === 0 && !hasFallen(compared);
  } finally {
    await redis.stop();
  }
}
