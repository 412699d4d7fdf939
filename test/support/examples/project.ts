import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeAtExit } from '../process/reaper.js';
import type { Cleanup } from './example.js';
import { runNpm } from './npm.js';
import { packedTarball } from './tarball.js';

/**
 * Creates a project in a temporary folder, with the packed package and others from the registry, and resolves with the folder.
 * @param t removes the folder when this test ends
 */
export async function installProject(t: Cleanup, packages: readonly string[], manifest: object = {}): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-project-')));
  removeAtExit(folder);
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'project', private: true, ...manifest }));
  await runNpm(folder, ['install', '--no-package-lock', await packedTarball(), ...packages]);
  return folder;
}
