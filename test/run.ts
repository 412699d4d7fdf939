/**
 * The runner behind `npm test` (the fast set: everything but test/slow/), `npm run test:slow` (`--slow`) and `.ci/run`
 * (`--all`). `npm test -- stop` runs the files with "stop" in their path, `npm test -- --files` lists the files instead.
 * The last line is `N passed, N failed`; the exit code is 1 if any test failed or none ran, 2 for an unknown option.
 *
 * A few processes share the files, and each runs one file after the other: see runner/run-file.ts. Not `node --test`: on
 * Node 20 it takes no patterns, starts a process for each file, and has no time limit for a test.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { buildProcesses, openCopy } from './support/runner/build-tests.js';
import { FileCounts } from './support/runner/file-counts.js';
import { stateOf } from './support/runner/run-file.js';

/** Long files first, so that no process is left alone with one at the end. */
const FOLDERS = [
  ...['slow', 'scenario', 'model', 'worker', 'contract', 'cli', 'producer', 'dashboard', 'corpus', 'shared'],
  ...['client', 'testing', 'ai', 'telemetry', 'bench', 'docs'],
];
const OPTIONS = ['--slow', '--all', '--files', '--rerun'];
const USAGE = `Usage: npm test -- [${OPTIONS.join('] [')}] [part of a path]...`;
/** For a process whose event loop is blocked; run-file.ts has the limits of tests and hooks. */
const PROCESS_LIMIT_MS = 4_500_000;
/** Fast tests mostly wait. Many of the slow ones start processes or browsers of their own. */
const PROCESSES = { fast: 2 * availableParallelism(), slow: availableParallelism() + 1 };
const SLOWEST_SHOWN = 5;
/** More files than that do not fail by chance. */
const RERUN_LIMIT = 6;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const words = process.argv.slice(2);
const options = words.filter((word) => word.startsWith('-'));
const parts = words.filter((word) => !word.startsWith('-'));
const unknown = options.find((option) => !OPTIONS.includes(option));
const files = findFiles().filter((file) => isInSet(file) && (parts.length === 0 || parts.some((part) => file.includes(part))));

if (unknown !== undefined) {
  console.error(`Unknown option ${unknown}. ${USAGE}`);
  process.exitCode = 2;
} else if (options.includes('--files')) {
  for (const file of files) console.log(file);
} else if (files.length === 0) {
  console.error('No test file matches: npm test runs all but test/slow/, npm run test:slow runs that.');
  process.exitCode = 1;
} else {
  await runFiles();
}

function findFiles(): string[] {
  const rank = (file: string): number => (FOLDERS.indexOf(file.split('/')[1] ?? '') + FOLDERS.length + 1) % (FOLDERS.length + 1);
  return readdirSync(resolve(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => `test/${path}`)
    .toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

function isInSet(file: string): boolean {
  return options.includes('--all') || isSlow(file) === options.includes('--slow');
}

function isSlow(file: string): boolean {
  return file.startsWith('test/slow/');
}

async function runFiles(): Promise<void> {
  // The processes get this process's own options, but for `--import tsx`: they run plain JavaScript.
  process.execArgv.splice(0, Infinity, '--enable-source-maps');
  // Without this, the processes would outlive a runner that is asked to end.
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

  const copy = await openCopy();
  const durations = new Map<string, number>();
  const report = await runOnce(files, files.some(isSlow) ? PROCESSES.slow : PROCESSES.fast);
  const flaky = options.includes('--rerun') ? await rerun(report) : [];
  const slowest = [...durations].toSorted(([, a], [, b]) => b - a).slice(0, SLOWEST_SHOWN);
  console.log(`\nSlowest: ${slowest.map(([file, ms]) => `${file} ${(ms / 1_000).toFixed(1)} s`).join(', ')}`);
  for (const line of flaky) console.log(line);
  const failed = report.counts.failed + report.unfinished.length;
  console.log(`${report.counts.passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || report.counts.passed === 0 ? 1 : 0;

  async function runOnce(some: readonly string[], processes: number): Promise<Report> {
    const { modules, claims } = await buildProcesses(copy, some, Math.min(processes, some.length));
    const counts = new FileCounts(some);
    const results = run({ files: [...modules], concurrency: modules.length, timeout: PROCESS_LIMIT_MS, signal: interrupted.signal });
    results.on('test:pass', (result) => counts.add(result, true));
    results.on('test:fail', (result) => counts.add(result, false));
    results.on('test:complete', ({ name, details }) => some.includes(name) && durations.set(name, details.duration_ms));
    await pipeline(results.compose(new spec()), process.stdout, { end: false });
    return { counts, unfinished: interrupted.signal.aborted ? [] : unfinishedOf(some, claims) };
  }

  /** Puts the second result of each file that failed into the report. Returns a line for each file whose tests passed then. */
  async function rerun(first: Report): Promise<string[]> {
    const { counts, unfinished } = first;
    const failures = new Map([...counts.failures, ...unfinished.map((file) => [file, ['its process ended']] as const)]);
    // The failure of a process without an unfinished file belongs to no file.
    const canPass = unfinished.length > 0 || counts.failedOutsideFiles === 0;
    if (interrupted.signal.aborted || failures.size === 0 || failures.size > RERUN_LIMIT || !canPass) return [];
    console.log(`\nRunning again, alone: ${[...failures.keys()].join(', ')}\n`);
    const second = await runOnce([...failures.keys()], 1);
    counts.replaceBy(second.counts);
    first.unfinished = second.unfinished;
    const failedAgain = [...second.counts.failures.keys(), ...second.unfinished];
    const passed = [...failures].filter(([file]) => !failedAgain.includes(file));
    return passed.map(([file, names]) => `Flaky: ${file} passed when run again, alone. It failed first: ${names.join('; ')}`);
  }
}

interface Report {
  readonly counts: FileCounts;
  /** The files whose process ended too early, and those that no process was left to run. */
  unfinished: readonly string[];
}

/** Finds the files that did not end, and names them. */
function unfinishedOf(some: readonly string[], claims: string): string[] {
  const unfinished = some.filter((file) => stateOf(file, claims) !== 'done');
  for (const file of unfinished) console.log(`✖ ${file} ${stateOf(file, claims) === 'begun' ? 'did not end' : 'did not run'}`);
  return unfinished;
}
