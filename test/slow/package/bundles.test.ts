import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type BuildOptions, build } from 'esbuild';
import { createProducer } from '../../../producer/index.js';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { installProject } from '../../support/examples/project.js';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';
import { removeAtExit } from '../../support/process/reaper.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';

const PROGRAMS = ['producer', 'worker', 'dashboard'];
const VARIANTS = [
  { bundler: 'esbuild', format: 'esm', extension: 'mjs' },
  { bundler: 'esbuild', format: 'cjs', extension: 'cjs' },
  { bundler: 'webpack', format: 'esm', extension: 'mjs' },
  { bundler: 'webpack', format: 'cjs', extension: 'cjs' },
] as const;
/** Of the whole client as a module of a page, in bytes. */
const LARGEST_CLIENT = 6_500;
/** Dependencies are CommonJS, whose `require` of Node's modules an ES module does not have. In two parts: the runner replaces the whole. */
const BANNER = `import { createRequire as requireFor } from 'node:module'; const require = requireFor(${['import.meta', 'url'].join('.')});`;

describe('a program bundled with the package', () => {
  const cleanups: (() => Promise<void>)[] = [];
  let redis: TestRedis;
  let bundles: string;

  before(async () => {
    bundles = await mkdtemp(join(tmpdir(), 'taskfleet-bundles-'));
    removeAtExit(bundles);
    const project = await installProject({ after: (clean) => void cleanups.push(clean) }, ['zod', 'webpack@5']);
    await cp(join(import.meta.dirname, 'bundles'), project, { recursive: true });
    const [ofEsbuild, ofWebpack] = await Promise.all([runEsbuild(project, bundles), runWebpack(project, bundles)]);
    assert.deepEqual([ofEsbuild, ofWebpack], [[], ''], 'warnings about the package');
    // A bundle must not find the package in the place where it was built.
    await rename(join(project, 'node_modules'), join(project, 'away'));
    redis = await startTestRedis();
  });
  after(async () => {
    await Promise.all([redis.stop(), rm(bundles, { recursive: true, force: true }), ...cleanups.map((clean) => clean())]);
  });

  for (const { bundler, format, extension } of VARIANTS) {
    test(`runs as ${format} of ${bundler}: the producer and a worker, and errors for threads and the dashboard`, async () => {
      const env = { REDIS_URL: redis.url, KEY_PREFIX: `${bundler}-${format}` };
      const start = (program: string): NodeProcess =>
        spawnNode([join(bundles, `${bundler}-${format}`, `${program}.${extension}`)], { env, cwd: bundles });
      const worker = start('worker');
      try {
        await worker.waitForLine(/^ready$/);
        const [producer, dashboard] = [start('producer'), start('dashboard')];
        assert.deepEqual(
          [await producer.exit, await dashboard.exit].map(({ code }) => code),
          [0, 0],
          producer.stderr.text + dashboard.stderr.text,
        );
        const [greeting, stopped, threaded] = producer.stdout.lines;
        assert.deepEqual([greeting, stopped], ['Hello Ada', 'cancelled by signal']);
        assert.match(threaded ?? '', /thread-main of taskfleet is missing\. .* keep taskfleet out of the bundle/);
        assert.deepEqual(
          dashboard.stdout.lines.filter((line) => line !== ''),
          ['PACKAGE_FILE_MISSING'],
        );
        assert.match(worker.stderr.text, /No threads in a bundled worker; isolated tasks will fail here/);
      } finally {
        assert.equal((await worker.stop()).code, 0, worker.stderr.text);
      }
    });
  }

  test('uses the API from a page, in a few kilobytes', async (t) => {
    const producer = createProducer({ redisUrl: redis.url, logLevel: 'silent' });
    const dashboard = await TestDashboard.start(producer);
    try {
      for (const bundler of ['esbuild', 'webpack']) {
        const path = join(bundles, `${bundler}-page`, 'client.mjs');
        const { enqueue } = (await import(pathToFileURL(path).href)) as { enqueue: (...words: unknown[]) => Promise<{ state: string }> };
        const body = { name: 'fleet.canary', input: { run_ms: 1 } };
        assert.equal((await enqueue(`${dashboard.url}/`, dashboard.tokens.operator, body)).state, 'queued');
        const size = gzipSync(await readFile(path)).length;
        t.diagnostic(`the client by ${bundler}: ${size} bytes gzipped`);
        assert.ok(size < LARGEST_CLIENT, `${bundler}: ${size} bytes`);
      }
    } finally {
      await dashboard.stop();
      await producer.close();
    }
  });
});

/** Returns the warnings about the package. The bundles are minified, so that names of classes are short. */
async function runEsbuild(project: string, bundles: string): Promise<string[]> {
  const options: BuildOptions = { bundle: true, minify: true, absWorkingDir: project, logLevel: 'silent' };
  const programs = { ...options, entryPoints: PROGRAMS.map((name) => `${name}.mjs`), platform: 'node', target: 'node20' } as const;
  const results = [
    await build({
      ...programs,
      format: 'esm',
      outdir: join(bundles, 'esbuild-esm'),
      outExtension: { '.js': '.mjs' },
      banner: { js: BANNER },
    }),
    await build({ ...programs, format: 'cjs', outdir: join(bundles, 'esbuild-cjs'), outExtension: { '.js': '.cjs' } }),
    await build({
      ...options,
      entryPoints: ['client.mjs'],
      format: 'esm',
      target: 'es2022',
      outfile: join(bundles, 'esbuild-page/client.mjs'),
    }),
  ];
  return results.flatMap(({ warnings }) => warnings.filter(({ location }) => location?.file.includes('taskfleet')).map(({ text }) => text));
}

/** Returns the errors, and the warnings about the package. */
async function runWebpack(project: string, bundles: string): Promise<string> {
  const programs = {
    ...{ context: project, mode: 'production', target: 'node20', optimization: { minimize: false } },
    entry: Object.fromEntries(PROGRAMS.map((name) => [name, `./${name}.mjs`])),
  };
  const asModule = { module: true, library: { type: 'module' }, chunkFormat: 'module' };
  const configurations = [
    { ...programs, output: { path: join(bundles, 'webpack-cjs'), filename: '[name].cjs' } },
    {
      ...programs,
      experiments: { outputModule: true },
      output: { path: join(bundles, 'webpack-esm'), filename: '[name].mjs', ...asModule },
    },
    {
      ...{ context: project, mode: 'production', target: 'web', entry: { client: './client.mjs' }, experiments: { outputModule: true } },
      output: { path: join(bundles, 'webpack-page'), filename: '[name].mjs', ...asModule },
    },
  ];
  await writeFile(join(project, 'webpack.json'), JSON.stringify(configurations));
  const webpack = spawnNode(['bundle-with-webpack.cjs'], { cwd: project });
  const { code } = await webpack.exit;
  assert.equal(code, 0, webpack.stderr.text);
  return webpack.stdout.text;
}
