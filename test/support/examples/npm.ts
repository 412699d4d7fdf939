import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { withLock } from '../process/file-lock.js';
import { NodeProcess } from '../process/processes.js';

/** Packages from npm's cache where it has them; npm's default for engines, whatever this repository's .npmrc says. */
const OPTIONS = ['--prefer-offline', '--engine-strict=false', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];

/**
 * Runs `npm <args>` to its end, and resolves with its standard output. It keeps the environment of this process, so that npm finds the
 * configured registry.
 * @param node path of the Node to run npm with; default: the first one on the PATH
 * @throws an error with npm's output if npm fails
 */
export function runNpm(cwd: string, args: readonly string[], node?: string): Promise<string> {
  return oneAtATime(() => run(cwd, args, node));
}

/** Runs work that keeps all cores busy, such as an install or a build: one at a time, or the other tests would run out of theirs. */
export function oneAtATime<Result>(work: () => Promise<Result>): Promise<Result> {
  return withLock(join(import.meta.dirname, '../../../.tests/heavy.lock'), work);
}

async function run(cwd: string, args: readonly string[], node?: string): Promise<string> {
  // The loaders and the runner's protocol of this process are not for npm.
  const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const child = spawn('npm', [...OPTIONS, ...args], {
    env: { ...env, ...(node !== undefined && { PATH: pathWith(node) }) },
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const npm = new NodeProcess(child, `npm ${args.join(' ')}`);
  const { code } = await npm.exit;
  if (code !== 0) throw new Error(`npm ${args.join(' ')} ended with code ${code}\n${npm.stdout.text}\n${npm.stderr.text}`);
  return npm.stdout.text;
}

/** Returns the PATH on which this Node is the first one. */
export function pathWith(node: string): string {
  return `${dirname(node)}:${process.env['PATH'] ?? ''}`;
}
