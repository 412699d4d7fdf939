/**
 * The runner behind `npm test`. `npm test -- stop` runs the files with "stop" in their path, `npm test -- --files` lists
 * the files instead. The last line is `N passed, N failed`; the exit code is 1 if any test failed or none ran, 2 for an
 * argument that it does not know.
 *
 * Why not `node --test`: on Node 20 it takes no patterns, sorts the files itself, and has no time limit for a test.
 */
import { setMaxListeners } from 'node:events';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { buildTests } from './support/build-tests.js';
import { LeafCount } from './support/leaf-count.js';

/** Fast ones first, so that a plain mistake shows within seconds. */
const FOLDERS = ['shared', 'producer', 'worker', 'dashboard', 'cli', 'contract', 'model', 'scenario', 'faults', 'browser', 'package'];
/** For what the limit of each test does not see: hooks, and a process that does not end. */
const FILE_LIMIT_MS = 600_000;
/** Most of what a test does is to wait. */
const FILES_AT_ONCE = availableParallelism() + 1;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const words = process.argv.slice(2);
const unknown = words.find((word) => word.startsWith('-') && word !== '--files');
const parts = words.filter((word) => !word.startsWith('-'));
const files = findFiles().filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));

if (unknown !== undefined) {
  console.error(`Unknown option ${unknown}. Usage: npm test -- [--files] [part of a path]...`);
  process.exitCode = 2;
} else if (words.includes('--files')) {
  for (const file of files) console.log(file);
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

async function runFiles(): Promise<void> {
  // The files' processes get this process's own options, but for `--import tsx`: they are plain JavaScript by then.
  process.execArgv.splice(0, Infinity, '--enable-source-maps', '--import', new URL('./support/time-limit.mjs', import.meta.url).href);
  // Without this, the files' processes would outlive a runner that is asked to end.
  const interrupted = new AbortController();
  setMaxListeners(0, interrupted.signal); // one for each file
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

  const count = new LeafCount();
  const results = run({
    files: await buildTests(files),
    concurrency: FILES_AT_ONCE,
    timeout: FILE_LIMIT_MS,
    signal: interrupted.signal,
  });
  results.on('test:pass', (result) => count.add(result, true));
  results.on('test:fail', (result) => count.add(result, false));
  await pipeline(results.compose(new spec()), process.stdout, { end: false });
  console.log(`\n${count.passed} passed, ${count.failed} failed`);
  process.exitCode = count.failed > 0 || count.passed === 0 ? 1 : 0;
}
