import { readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Plugin, build } from 'esbuild';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Below the root. */
const PRODUCT = /^(?:index|(?:shared|producer|worker|dashboard|cli)\/.*)\.[jt]s$/;

/** What a test imports of the product is taken from dist/: the very files that are shipped. */
const product: Plugin = {
  name: 'product',
  setup: (bundle) => {
    bundle.onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
      const source = relative(root, join(resolveDir, path)).split(sep).join('/');
      if (!PRODUCT.test(source)) return null;
      return { path: pathToFileURL(join(root, 'dist', source.replace(/\.ts$/, '.js'))).href, external: true };
    });
  },
};

/** `import.meta` is that of the source, not of the file that it ends up in: so paths beside it hold. */
const place: Plugin = {
  name: 'place',
  setup: (bundle) => {
    bundle.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const values = { url: pathToFileURL(path).href, dirname: dirname(path), filename: path };
      const contents = readFileSync(path, 'utf8').replaceAll(/import\.meta\.(url|dirname|filename)\b/g, (_, name: keyof typeof values) => JSON.stringify(values[name]));
      return { contents, loader: 'ts' };
    });
  },
};

/**
 * Makes one plain JavaScript file of each test: without a loader that compiles while they run, tests start in half the
 * time. They are gone with this process.
 * @param files paths below the root
 * @returns where their JavaScript is, in the same order
 */
export async function buildTests(files: readonly string[]): Promise<string[]> {
  const outdir = join(root, '.tests', String(process.pid));
  process.once('exit', () => rmSync(outdir, { recursive: true, force: true }));
  await build({
    entryPoints: files.map((file) => join(root, file)),
    outbase: root,
    outdir,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'warning',
    plugins: [product, place],
  });
  return files.map((file) => join(outdir, file.replace(/\.ts$/, '.js')));
}
