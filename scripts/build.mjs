// Builds dist/: compiles, puts the Lua scripts into a module, copies the files of the pages and makes the command executable. Does
// nothing if dist/ is up to date with its inputs; --force builds anyway.
//
// Several builds and test runs may use one checkout at once: each build writes to another folder, then replaces dist/ as a whole, and
// builds wait for each other. A failed compilation leaves dist/ unchanged.
import { spawnSync } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { inlineFiles } from './inline-files.mjs';
import { writeRequireDoors } from './require-doors.mjs';

const FOLDERS = ['shared', 'producer', 'worker', 'dashboard', 'cli', 'client', 'testing', 'ai', 'telemetry'];
const FILES = [
  'index.ts',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/build.mjs',
  'scripts/inline-files.mjs',
  'scripts/require-doors.mjs',
];
/** Extensions of the sources whose text is in compiled modules. */
const COMPILED = new Set(['.ts', '.lua']);
const LONGEST_BUILD_MS = 120_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
// A sibling of dist/, so that it can be renamed and the relative paths of the source maps stay right.
const WORKSHOP = /^\.dist-(?<pid>\d+)$/;
const workshop = join(root, `.dist-${process.pid}`);
const retired = `${workshop}.old`;
const forced = process.argv.includes('--force');

if (forced || !isCurrent()) {
  await openWorkshop();
  try {
    // Check again: the build waited for probably had the same inputs.
    if (forced || !isCurrent()) process.exitCode = build();
  } finally {
    for (const folder of [workshop, retired]) rmSync(folder, { recursive: true, force: true });
  }
}

function isCurrent() {
  const stamp = join(dist, '.stamp');
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint();
}

/** Returns a hash over the names and contents of all inputs; a removed source changes it too. */
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
  // Taken before the compiler reads: an edit meanwhile makes this build outdated, never wrong.
  const stamp = fingerprint();
  const status = compile(join(root, 'tsconfig.build.json'), workshop) || compilePage();
  if (status !== 0) return status;
  for (const path of sources())
    if (!COMPILED.has(extname(path)) && basename(path) !== 'tsconfig.json') cpSync(join(root, path), join(workshop, path));
  inlineFiles(root, workshop);
  writeRequireDoors(root, workshop);
  const command = join(workshop, 'cli', 'main.js');
  if (existsSync(command)) chmodSync(command, 0o755);
  writeFileSync(join(workshop, '.stamp'), stamp);
  rmSync(join(workshop, '.gitignore'));
  // Two renames, since Node cannot exchange two folders: dist/ is missing for microseconds, but never incomplete.
  if (existsSync(dist)) renameSync(dist, retired);
  renameSync(workshop, dist);
  return 0;
}

/** Compiles the browser code with its own configuration. It imports types of the server, whose output is dropped. */
function compilePage() {
  const page = join('dashboard', 'page');
  const all = join(workshop, '.page');
  const status = compile(join(root, page, 'tsconfig.json'), all, '--noEmit', 'false', '--declaration', 'false', '--sourceMap', 'false');
  if (status === 0) cpSync(join(all, page), join(workshop, page), { recursive: true });
  rmSync(all, { recursive: true, force: true });
  return status || bundleClient(page);
}

/** Bundles the client of the API, which is outside the folder that is served, into one module of the pages. */
function bundleClient(page) {
  buildSync({
    ...{ entryPoints: [join(root, page, 'client.ts')], outfile: join(workshop, page, 'client.js'), allowOverwrite: true },
    ...{ bundle: true, minify: true, format: 'esm', platform: 'browser', target: 'es2023', logLevel: 'warning' },
  });
  return 0;
}

function compile(project, outDir, ...options) {
  const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  return spawnSync(process.execPath, [compiler, '-p', project, '--outDir', outDir, ...options], { stdio: 'inherit' }).status ?? 1;
}

/**
 * Creates the folder of this build, which is also its lock. Create first, then check: of two concurrent builds, at least one sees the
 * other and steps back.
 */
async function openWorkshop() {
  for (;;) {
    mkdirSync(workshop, { recursive: true });
    // Hides the folder from Git, even if this process is killed.
    writeFileSync(join(workshop, '.gitignore'), '*\n');
    if (!readdirSync(root).some(isBusy)) return;
    rmSync(workshop, { recursive: true });
    await delay(randomInt(20, 100));
  }
}

/** Returns whether this is the folder of another running build; removes the folder of a dead one. */
function isBusy(name) {
  const pid = WORKSHOP.exec(name)?.groups.pid;
  const folder = join(root, name);
  if (!pid || folder === workshop) return false;
  try {
    process.kill(Number(pid), 0);
    if (Date.now() - statSync(folder).mtimeMs < LONGEST_BUILD_MS) return true;
  } catch (error) {
    // EPERM: a live process of another user. ENOENT: the build has just finished.
    if (error.code === 'EPERM') return true;
    if (error.code !== 'ESRCH' && error.code !== 'ENOENT') throw error;
  }
  rmSync(folder, { recursive: true, force: true });
  return false;
}
