import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const QUIET = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
const { version, exports: doors } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  exports: Record<string, object | string>;
};
const DOORS = Object.keys(doors).flatMap((door) => (typeof doors[door] === 'string' ? [] : [`taskfleet${door.slice(1)}`]));
/** Of the tarball, in bytes. */
const LARGEST_PACKAGE = 1_500_000;
/** Generous for an import; an open timer or connection would keep the process alive forever. */
const EXIT_LIMIT_MS = 120_000;

describe('the published package', () => {
  let folder: string;
  let project: string;
  let packed: string[];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-pack-'));
    project = join(folder, 'project');
    // The runner has just built dist/; packing must not replace it under concurrent tests.
    succeed(run(root, 'npm', 'pack', '--ignore-scripts', '--silent', '--pack-destination', folder));
    const tarball = join(folder, `taskfleet-${version}.tgz`);
    packed = succeed(run(folder, 'tar', 'tzf', tarball))
      .trim()
      .split('\n')
      .map((path) => path.replace(/^package\//, ''));
    await mkdir(project);
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
    succeed(run(project, 'npm', 'install', ...QUIET, tarball));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test('the tarball has all files for users', async () => {
    const needed = ['README.md', 'LICENSE', 'CHANGELOG.md', 'package.json', 'dist/cli/main.js'];
    assert.deepEqual(
      needed.filter((path) => !packed.includes(path)),
      [],
    );
    assert.ok(
      packed.some((path) => path.startsWith('docs/')),
      'docs/ is missing',
    );
  });

  test('the tarball has no tests and no sources', () => {
    const allowed = /^(?:README\.md|LICENSE|CHANGELOG\.md|package\.json|docs\/.+|deploy\/.+|dist\/.+)$/;
    assert.deepEqual(
      packed.filter((path) => !allowed.test(path)),
      [],
    );
    const sources = packed.filter((path) => /(?<!\.d)\.ts$|\.map$|\.test\.|\.tgz$|(?:^|\/)\.[^/]/.test(path));
    assert.deepEqual(sources, []);
  });

  test('the tarball is small', async () => {
    const { size } = await stat(join(folder, `taskfleet-${version}.tgz`));
    assert.ok(size < LARGEST_PACKAGE, `${size} bytes`);
  });

  test('the command prints its help', () => {
    const help = succeed(run(project, 'npx', '--no-install', 'taskfleet', '--help'));
    assert.match(help, /^Usage: taskfleet/m);
  });

  test('the command prints its version', () => {
    assert.equal(succeed(run(project, 'npx', '--no-install', 'taskfleet', '--version')), `${version}\n`);
  });

  test('every entry point can be imported, and an import starts nothing', async () => {
    const imports = DOORS.map((door, index) => `import * as door${index} from '${door}';`);
    const sizes = DOORS.map((_, index) => `Object.keys(door${index}).length`);
    await writeFile(join(project, 'doors.mjs'), [...imports, `console.log(JSON.stringify([${sizes.join(', ')}]));`].join('\n'));
    const { stdout, stderr, status, signal } = run(project, process.execPath, 'doors.mjs');
    assert.deepEqual({ stderr, status, signal }, { stderr: '', status: 0, signal: null });
    const exported = JSON.parse(stdout) as number[];
    assert.ok(
      exported.every((count) => count > 0),
      stdout,
    );
  });

  test('require and import get the same values from every entry point, without a warning', async () => {
    const lines = DOORS.map((door) => `  compare('${door}', require('${door}'), await import('${door}'));`);
    const program = `const assert = require('node:assert');
function compare(door, required, imported) {
  const names = Object.keys(imported).filter((name) => name !== 'module.exports');
  assert.deepEqual(Object.keys(required).filter((name) => name !== 'module.exports'), names, door);
  for (const name of names) assert.equal(required[name], imported[name], name);
}
(async () => {
${lines.join('\n')}
})();
`;
    await writeFile(join(project, 'doors.cjs'), program);
    const { stdout, stderr, status } = run(project, process.execPath, 'doors.cjs');
    assert.deepEqual({ stdout, stderr, status }, { stdout: '', stderr: '', status: 0 });
  });
});

function run(cwd: string, command: string, ...args: string[]): SpawnSyncReturns<string> {
  const timeout = EXIT_LIMIT_MS;
  // Loaders and the runner's protocol in this environment must not reach the project's processes.
  const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...env } = process.env;
  return spawnSync(command, args, { cwd, env, timeout, encoding: 'utf8' });
}

function succeed({ stdout, stderr, status, error }: SpawnSyncReturns<string>): string {
  assert.equal(status, 0, error?.message ?? stderr);
  return stdout;
}
