import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const DOORS = ['taskfleet', 'taskfleet/producer', 'taskfleet/worker', 'taskfleet/dashboard'];
const QUIET = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
/** Generous for an import; an open timer or connection would keep the process alive forever. */
const EXIT_LIMIT_MS = 20_000;

describe('the published package', () => {
  let folder: string;
  let project: string;
  let packed: string[];
  let version: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-pack-'));
    project = join(folder, 'project');
    ({ version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string });
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
    const scripts = (await readdir(join(root, 'shared/scripts'), { recursive: true })).filter((name) => name.endsWith('.lua'));
    assert.ok(scripts.length > 0);
    const needed = [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'package.json',
      'dist/cli/main.js',
      ...scripts.map((name) => `dist/shared/scripts/${name}`),
    ];
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

  test('every entry point has types that compile under strict settings', async () => {
    await useTypesOfNode();
    const imports = DOORS.map((door, index) => `import * as door${index} from '${door}';`);
    // An entry point without types would be `any`, which accepts every key.
    const typed = DOORS.map(
      (_, index) => `export const key${index}: 'no such key' extends keyof typeof door${index} ? never : string = '';`,
    );
    await writeFile(join(project, 'doors.ts'), [...imports, ...typed].join('\n'));
    const options = { strict: true, module: 'nodenext', target: 'es2023', skipLibCheck: false, noEmit: true, types: ['node'] };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['doors.ts'] }));
    const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
    const { stdout, status } = run(project, process.execPath, compiler, '-p', '.');
    assert.equal(stdout, '');
    assert.equal(status, 0);
  });

  /** The own dependencies of a TypeScript project. */
  async function useTypesOfNode(): Promise<void> {
    const types = join(project, 'node_modules', '@types');
    await mkdir(types, { recursive: true });
    if (!(await readdir(types)).includes('node')) await symlink(join(root, 'node_modules/@types/node'), join(types, 'node'));
  }
});

function run(cwd: string, command: string, ...args: string[]): SpawnSyncReturns<string> {
  const timeout = command === 'npm' ? 110_000 : EXIT_LIMIT_MS;
  // Loaders and the runner's protocol in this environment must not reach the project's processes.
  const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...env } = process.env;
  return spawnSync(command, args, { cwd, env, timeout, encoding: 'utf8' });
}

function succeed({ stdout, stderr, status, error }: SpawnSyncReturns<string>): string {
  assert.equal(status, 0, error?.message ?? stderr);
  return stdout;
}
