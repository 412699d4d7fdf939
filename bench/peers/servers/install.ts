import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** pg-boss and Graphile Worker require it. */
const MIN_NODE = [22, 18] as const;

const folder = fileURLToPath(new URL('..', import.meta.url));
const stamp = join(folder, 'node_modules', '.installed');

/** Installs the packages of the lockfile with `npm ci`, unless they are there. @throws Error if npm fails */
export function installPackages(say: (line: string) => void): void {
  const lock = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('Installing the compared packages (npm ci in bench/peers) …');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    // npm passes its own settings on to scripts, the root's folder among them.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))),
  });
  if (status !== 0) throw new Error('npm ci failed in bench/peers; the lines above say why');
  writeFileSync(stamp, lock);
}

/**
 * Returns the Node.js that runs all sides: the pinned one of the lockfile, since some of the packages need a newer Node.js than the fleet;
 * on a machine that it is not built for, the current one.
 * @throws Error if that is too old
 */
export function benchNode(): string {
  const pinned = join(folder, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(pinned)) return pinned;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return process.execPath;
  throw new Error(`Expected Node.js ${MIN_NODE.join('.')} or newer, got ${process.version}: pg-boss and Graphile Worker require it.`);
}
