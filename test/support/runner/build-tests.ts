import { readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Plugin, build } from 'esbuild';
import { bundlePackages } from './bundle-packages.js';
import { copyPackage } from './copy-package.js';

const root = join(import.meta.dirname, '../../..');
/** Relative to the root. */
const PRODUCT = /^(?:index|(?:shared|producer|worker|dashboard|cli|client|testing|ai|telemetry)\/.*)\.[jt]s$/;

/** Resolves a test's imports of the product to the copy of dist/: the shipped files. */
function productFrom(folder: string): Plugin {
  return {
    name: 'product',
    setup: (bundle) => {
      bundle.onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
        const source = relative(root, join(resolveDir, path)).split(sep).join('/');
        if (!PRODUCT.test(source)) return null;
        return { path: pathToFileURL(join(folder, 'dist', source.replace(/\.ts$/, '.js'))).href, external: true };
      });
    },
  };
}

/** Keeps the `import.meta` of the source, so that paths relative to it stay right in the bundle. */
const place: Plugin = {
  name: 'place',
  setup: (bundle) => {
    bundle.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const values = { url: pathToFileURL(path).href, dirname: dirname(path), filename: path };
      const contents = readFileSync(path, 'utf8').replaceAll(/import\.meta\.(url|dirname|filename)\b/g, (_, name: keyof typeof values) =>
        JSON.stringify(values[name]),
      );
      return { contents, loader: 'ts' };
    });
  },
};

/** The module whose `runAll` imports and runs the test files one after the other. */
function runnerOf(files: readonly string[], claims: string): Plugin {
  const runner = JSON.stringify(join(import.meta.dirname, 'run-file.ts'));
  const loads = files.map((file) => `${JSON.stringify(file)}: () => import(${JSON.stringify(join(root, file))}),`);
  const contents = [
    `import { runFiles } from ${runner};`,
    ...['const files = {', ...loads, '};'],
    `export const runAll = (order) => runFiles(files, ${JSON.stringify(claims)}, { order });`,
  ].join('\n');
  return {
    name: 'runner',
    setup: (bundle) => {
      bundle.onResolve({ filter: /^all-tests$/ }, ({ path }) => ({ path, namespace: 'runner' }));
      bundle.onLoad({ filter: /^/, namespace: 'runner' }, () => ({ contents, resolveDir: root }));
    },
  };
}

/**
 * Copies the package for as long as this process runs, with its slowest dependencies as one file each. Without a loader
 * that compiles at run time, and with fewer files to read, the tests' processes start in half the time. (The tests of the
 * package itself use the dependencies as installed.)
 * @returns the folder of the copy
 */
export async function openCopy(): Promise<string> {
  const folder = join(root, '.tests', String(process.pid));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await copyPackage(root, folder);
  await bundlePackages(folder);
  return folder;
}

export interface TestProcesses {
  /** The main module of each process. */
  readonly modules: readonly string[];
  /** Folder with a file for each test file that a process has taken. */
  readonly claims: string;
}

/**
 * Builds the main modules of processes that share the test files, in a copy of the package. Every second process begins at the
 * other end of the list, so that the tests with many processes, which come first, run beside lighter ones.
 * @param copy the folder of {@link openCopy}
 * @param files paths below the root
 */
export async function buildProcesses(copy: string, files: readonly string[], count: number): Promise<TestProcesses> {
  const folder = await mkdtemp(join(copy, 'run-'));
  const claims = join(folder, 'claims');
  await mkdir(claims);
  await compile(copy, folder, { 'all-tests': 'all-tests' }, runnerOf(files, claims));
  const modules = Array.from({ length: count }, (_, index) => join(folder, `process-${index + 1}.js`));
  for (const [index, module] of modules.entries())
    await writeFile(module, `import { runAll } from './all-tests.js';\nawait runAll('${index % 2 === 0 ? 'forwards' : 'backwards'}');\n`);
  return { modules, claims };
}

/**
 * Makes one JavaScript file of each source, in a copy of the package: for a process with a test or a main module of its own.
 * @param files paths below the root
 * @returns the paths of the JavaScript files, in the same order
 */
export async function buildTests(files: readonly string[]): Promise<string[]> {
  return compileInto(await openCopy(), files);
}

/** Makes one JavaScript file of each source, in an existing copy of the package: for a test that starts another file than its own. */
export async function compileInto(folder: string, files: readonly string[]): Promise<string[]> {
  const names = files.map((file) => file.replace(/\.ts$/, ''));
  await compile(folder, folder, Object.fromEntries(names.map((name) => [name, join(root, `${name}.ts`)])));
  return names.map((name) => join(folder, `${name}.js`));
}

async function compile(copy: string, outdir: string, entryPoints: Record<string, string>, ...plugins: Plugin[]): Promise<void> {
  await build({
    entryPoints,
    outdir,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    define: { TESTED_PACKAGE: JSON.stringify(copy) },
    logLevel: 'warning',
    plugins: [...plugins, productFrom(copy), place],
  });
}
