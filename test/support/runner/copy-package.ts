import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

const MAX_ATTEMPTS = 10;

/**
 * Copies the files that the package runs from, and the modules that tests have it load (.mjs files below test/). Adjusts the source
 * maps to the new place.
 */
export async function copyPackage(root: string, folder: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const stamp = await stampOf(root);
    try {
      await copyAll(root, folder);
    } catch (error) {
      // Between the two renames of another build, dist/ does not exist.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    // A changed stamp means that part of the copy may be from an older build.
    if (stamp !== null && stamp === (await stampOf(root))) return;
    if (attempt === MAX_ATTEMPTS) throw new Error(`dist/ changed during each of ${MAX_ATTEMPTS} attempts to copy it`);
  }
}

function stampOf(root: string): Promise<string | null> {
  return readFile(join(root, 'dist/.stamp'), 'utf8').catch(() => null);
}

async function copyAll(root: string, folder: string): Promise<void> {
  const [product, tests] = await Promise.all([filesBelow(root, 'dist'), filesBelow(root, 'test')]);
  const files = ['package.json', ...product.filter((file) => !file.endsWith('.d.ts')), ...tests.filter((file) => file.endsWith('.mjs'))];
  for (const below of new Set(files.map((file) => dirname(file)))) await mkdir(join(folder, below), { recursive: true });
  await Promise.all(
    files.map((file) => (file.endsWith('.map') ? copyMap(root, folder, file) : copyFile(join(root, file), join(folder, file)))),
  );
}

async function filesBelow(root: string, below: string): Promise<string[]> {
  const entries = await readdir(join(root, below), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

async function copyMap(root: string, folder: string, file: string): Promise<void> {
  const map = JSON.parse(await readFile(join(root, file), 'utf8')) as { sources: string[] };
  const to = dirname(join(folder, file));
  const sources = map.sources.map((source) => relative(to, join(root, dirname(file), source)));
  await writeFile(join(folder, file), JSON.stringify({ ...map, sources }));
}
