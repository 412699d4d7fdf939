import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Plugin, build } from 'esbuild';

/** The packages that take longest to import, with the entry points in use. They have hundreds of files; most of the time is reading. */
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

/** Re-exports an entry point under the same names, which esbuild cannot know for a CommonJS package. */
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
 * Puts the installed packages into `folder`/node_modules as one file per entry point, with shared code once. A process that loads
 * them from there starts in about two thirds of the time.
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
    // Errors are recognized by their class names.
    keepNames: true,
    // An optional addon.
    external: ['msgpackr-extract'],
    banner: { js: `import { createRequire as _createRequire } from 'node:module'; const require = _createRequire(import.meta.url);` },
    logLevel: 'warning',
    // Used by bull-board to find its pages.
    logOverride: { 'direct-eval': 'silent' },
    plugins: [doors],
  });
  for (const [name, its] of entries) {
    await mkdir(join(outdir, name), { recursive: true });
    const exports = Object.fromEntries(its.map((door) => [door, `./${fileOf(door)}.js`]));
    await writeFile(join(outdir, name, 'package.json'), JSON.stringify({ name, type: 'module', exports }));
  }
}
