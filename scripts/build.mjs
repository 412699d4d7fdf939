// Builds dist/: compiles, copies what the compiler leaves behind (Lua scripts, pages) and sets the run bit of the
// command. Does nothing if dist/ was made from exactly these inputs; --force builds anyway.
//
// Several builds and test runs may go on at once in one checkout. So the new dist/ grows elsewhere and is swapped in
// whole, and one build waits for the other. A build whose compilation fails leaves dist/ as it was.
import { spawnSync } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const FOLDERS = ['shared', 'producer', 'worker', 'dashboard', 'cli'];
const FILES = ['index.ts', 'package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts/build.mjs'];
const LONGEST_BUILD_MS = 120_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
// A sibling of dist/, so that it can be renamed to it, and the source maps' relative paths stay right.
const WORKSHOP = /^\.dist-(?<pid>\d+)$/;
const workshop = join(root, `.dist-${process.pid}`);
const retired = `${workshop}.old`;
const forced = process.argv.includes('--force');

if (forced || !isCurrent()) {
  await openWorkshop();
  try {
    // Asked again: whoever was waited for has probably built the very same.
    if (forced || !isCurrent()) process.exitCode = build();
  } finally {
    for (const folder of [workshop, retired]) rmSync(folder, { recursive: true, force: true });
  }
}

function isCurrent() {
  const stamp = join(dist, '.stamp');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint();
}

/** A hash over the names and contents of all that a build reads; so a source that is gone changes it too. */
function fingerprint() {
  const hash = createHash('sha256');
  for (const path of [...FILES.filter((file) => existsSync(join(root, file))), ...sources()].toSorted((a, b) => (a < b ? -1 : 1))) {
    hash.update(`\0${path}\0`).update(readFileSync(join(root, path)));
  }
  return hash.digest('hex');
}

function sources() {
  return FOLDERS.filter((folder) => existsSync(join(root, folder))).flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name))),
  );
}

/** Returns the compiler's exit status. */
function build() {
  // Taken before the compiler reads: an edit in the meantime makes this build an outdated one, never a wrong one.
  const stamp = fingerprint();
  const status = compile(join(root, 'tsconfig.build.json'), workshop) || compilePage();
  if (status !== 0) return status;
  for (const path of sources())
    if (extname(path) !== '.ts' && basename(path) !== 'tsconfig.json') cpSync(join(root, path), join(workshop, path));
  const command = join(workshop, 'cli', 'main.js');
  if (existsSync(command)) chmodSync(command, 0o755);
  writeFileSync(join(workshop, '.stamp'), stamp);
  rmSync(join(workshop, '.gitignore'));
  // Two renames, since none exchanges two folders: for some microseconds there is no dist/, but never half of one.
  if (existsSync(dist)) renameSync(dist, retired);
  renameSync(workshop, dist);
  return 0;
}

/** What runs in the browser has a configuration of its own. It takes types of the server; what those bring along is dropped. */
function compilePage() {
  const page = join('dashboard', 'page');
  const all = join(workshop, '.page');
  const status = compile(join(root, page, 'tsconfig.json'), all, '--noEmit', 'false', '--declaration', 'false', '--sourceMap', 'false');
  if (status === 0) cpSync(join(all, page), join(workshop, page), { recursive: true });
  rmSync(all, { recursive: true, force: true });
  return status;
}

function compile(project, outDir, ...options) {
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  return spawnSync(process.execPath, [compiler, '-p', project, '--outDir', outDir, ...options], { stdio: 'inherit' }).status ?? 1;
}

/**
 * Makes this build's folder, which is also its claim to be the only one. Announce, then look: of two that announce at
 * once, at least one sees the other and steps back.
 */
async function openWorkshop() {
  for (;;) {
    mkdirSync(workshop, { recursive: true });
    // Git must not see it, not even if this process is killed.
    writeFileSync(join(workshop, '.gitignore'), '*\n');
    if (!readdirSync(root).some(isBusy)) return;
    rmSync(workshop, { recursive: true });
    await delay(randomInt(20, 100));
  }
}

/** True if that name is the folder of another build that is going on; clears it away if its builder must have died. */
function isBusy(name) {
  const pid = WORKSHOP.exec(name)?.groups.pid;
  const folder = join(root, name);
  if (!pid || folder === workshop) return false;
  try {
    process.kill(Number(pid), 0);
    if (Date.now() - statSync(folder).mtimeMs < LONGEST_BUILD_MS) return true;
  } catch (error) {
    // EPERM: somebody else's, and alive. ENOENT: it has just finished, and is gone.
    if (error.code === 'EPERM') return true;
    if (error.code !== 'ESRCH' && error.code !== 'ENOENT') throw error;
  }
  rmSync(folder, { recursive: true, force: true });
  return false;
}
