import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Plugin, build } from 'esbuild';

/** What takes longest to import, each with the doors that are used: of hundreds of files, reading them is most of the time. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  '@bull-board/api': ['.', './bullMQAdapter', './dist/routes.js'],
  '@bull-board/express': ['.'],
  bullmq: ['.'],
  commander: ['.'],
  express: ['.'],
  'express-rate-limit': ['.'],
  ioredis: ['.'],
  jose: ['.'],
  pino: ['.'],
  'pino-pretty': ['.'],
  'prom-client': ['.'],
  zod: ['.', './mini'],
};
const INDEX = 'index';

/** Exports what a package's door exports, under the same names: esbuild alone cannot know them where the package is CommonJS. */
const doors: Plugin = {
  name: 'doors',
  setup: (bundle) => {
    bundle.onResolve({ filter: /^door:/ }, ({ path }) => ({ path: path.slice('door:'.length), namespace: 'door' }));
    bundle.onLoad({ filter: /^/, namespace: 'door' }, async ({ path }) => {
      const names = Object.keys((await import(path)) as object).filter((name) => name !== 'module.exports');
      const lines = names.map((name, index) => `const _${index} = all[${JSON.stringify(name)}]; export { _${index} as ${name} };`);
      return { contents: [`import * as all from ${JSON.stringify(path)};`, ...lines].join('\n'), resolveDir: import.meta.dirname };
    });
  },
};

/**
 * Puts the packages into `folder`/node_modules with one file for each door, made from what is installed. What two of them
 * use is there once. A process whose modules find them there starts in about two thirds of the time.
 */
export async function bundlePackages(folder: string): Promise<void> {
  const outdir = join(folder, 'node_modules');
  const entries = Object.entries(PACKAGES);
  const fileOf = (door: string): string => (door === '.' ? INDEX : door.slice('./'.length).replace(/\.js$/, ''));
  await build({
    entryPoints: entries.flatMap(([name, its]) => its.map((door) => ({ in: `door:${join(name, door)}`, out: `${name}/${fileOf(door)}` }))),
    outdir,
    bundle: true,
    splitting: true,
    chunkNames: '.shared/[hash]',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // Errors are told by their names.
    keepNames: true,
    // An addon, which may be there or not.
    external: ['msgpackr-extract'],
    banner: { js: `import { createRequire as _createRequire } from 'node:module'; const require = _createRequire(import.meta.url);` },
    logLevel: 'warning',
    // Of bull-board, which so finds its pages.
    logOverride: { 'direct-eval': 'silent' },
    plugins: [doors],
  });
  for (const [name, its] of entries) {
    await mkdir(join(outdir, name), { recursive: true });
    const exports = Object.fromEntries(its.map((door) => [door, `./${fileOf(door)}.js`]));
    await writeFile(join(outdir, name, 'package.json'), JSON.stringify({ name, type: 'module', exports }));
  }
}
