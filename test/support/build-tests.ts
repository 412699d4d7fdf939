import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Plugin, build } from 'esbuild';
import { bundlePackages } from './bundle-packages.js';
import { copyPackage } from './copy-package.js';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Below the root. */
const PRODUCT = /^(?:index|(?:shared|producer|worker|dashboard|cli)\/.*)\.[jt]s$/;

/** What a test imports of the product is taken from the copy of dist/: the very files that are shipped. */
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

/** `import.meta` is that of the source, not of the file that it ends up in: so paths beside it hold. */
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

/**
 * Makes one plain JavaScript file of each test, in a copy of the package whose slowest dependencies are one file each:
 * without a loader that compiles while they run, and with less to read, the processes of the tests start in half the
 * time. All of it is gone with this process. (test/package/ runs the package with its dependencies as they are installed.)
 * @param files paths below the root
 * @returns where their JavaScript is, in the same order
 */
export async function buildTests(files: readonly string[]): Promise<string[]> {
  const folder = join(root, '.tests', String(process.pid));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await copyPackage(root, folder);
  await bundlePackages(folder);
  return compileInto(folder, files);
}

/**
 * Makes one plain JavaScript file of each source, in a copy of the package that is there already: for a test that starts
 * a process of another file than its own.
 */
export async function compileInto(folder: string, files: readonly string[]): Promise<string[]> {
  await build({
    entryPoints: files.map((file) => join(root, file)),
    outbase: root,
    outdir: folder,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    define: { TESTED_PACKAGE: JSON.stringify(folder) },
    logLevel: 'warning',
    plugins: [productFrom(folder), place],
  });
  return files.map((file) => join(folder, file.replace(/\.ts$/, '.js')));
}
