import { mkdtemp, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withLock } from '../process/file-lock.js';
import { runNpm } from './npm.js';

const root = join(import.meta.dirname, '../../..');
const packages = join(root, '.tests/packages');
const LOCK = join(packages, 'lock');
const BUILD_POLL_MS = 100;
/** For a test that is still installing a tarball of an older build. */
const KEPT_MS = 3_600_000;

/**
 * Returns the path of a tarball of the package with the current build in dist/. All test processes share it: the first one packs it, the
 * others wait. Files outside dist/, such as docs, may be older: a test of those packs the repository itself.
 */
export async function packedTarball(): Promise<string> {
  return withLock(LOCK, async () => {
    for (;;) {
      const stamp = await stampOfBuild();
      const tarball = join(packages, `taskfleet-${stamp}.tgz`);
      if (stamp !== null && (await exists(tarball))) return tarball;
      if (stamp === null) await delay(BUILD_POLL_MS);
      else await pack(stamp, tarball);
    }
  });
}

/** Null between the two renames of a concurrent build. */
function stampOfBuild(): Promise<string | null> {
  return readFile(join(root, 'dist/.stamp'), 'utf8').catch(() => null);
}

async function pack(stamp: string, tarball: string): Promise<void> {
  const folder = await mkdtemp(join(packages, 'pack-'));
  try {
    await removeOld();
    await runNpm(root, ['pack', '--ignore-scripts', '--pack-destination', folder]);
    // After a concurrent build, the tarball may have files of both builds: the caller packs again.
    if (stamp !== (await stampOfBuild())) return;
    const [name = ''] = await readdir(folder);
    await rename(join(folder, name), tarball);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeOld(): Promise<void> {
  for (const name of await readdir(packages)) {
    const { mtimeMs } = await stat(join(packages, name));
    if (Date.now() - mtimeMs > KEPT_MS) await rm(join(packages, name), { recursive: true, force: true });
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
