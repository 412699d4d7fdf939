import { tmpdir } from 'node:os';
import { runNpm } from '../examples/npm.js';

/** Returns the path of this major version of Node, from the npm package `node`; null if npm cannot install it. */
export async function installNode(version: number): Promise<string | null> {
  const args = ['exec', '--yes', `--package=node@${version}`];
  const path = await runNpm(tmpdir(), [...args, '--', 'node', '-p', 'process.execPath']).catch(() => null);
  return path === null ? null : (path.trim().split('\n').at(-1) ?? null);
}
