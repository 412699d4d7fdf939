import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Request, Router } from 'express';
import { FleetError } from '../shared/errors.js';

/** A page: its own part of the HTML, and the module that fills it, have its name. */
interface Page {
  readonly name: string;
  readonly title: string;
  /** Below where the dashboard is mounted. An expression, so that Express does not decode the path. */
  readonly path: string | RegExp;
  /** The way from the page to where the dashboard is mounted: all addresses in it are relative. */
  readonly root: './' | '../';
}

const PAGES: readonly Page[] = [
  { name: 'tasks', title: 'Tasks', path: '/', root: './' },
  { name: 'task', title: 'Task', path: /^\/tasks\/[^/]+$/, root: '../' },
  { name: 'workers', title: 'Workers', path: '/workers', root: './' },
  { name: 'schedules', title: 'Schedules', path: '/schedules', root: './' },
  { name: 'stats', title: 'Figures', path: '/stats', root: './' },
];

/** Compiled by scripts/build.mjs from the TypeScript of this folder. */
const folder = fileURLToPath(new URL('./page/', import.meta.url));

/** The scripts and styles of the pages, for everyone: there is nothing in them but what is published. */
export function pageAssets(): Router {
  const router = Router({ caseSensitive: true });
  // Asked for again each time, with a 304 for an answer: a page never runs with parts of another version.
  const options = {
    index: false,
    redirect: false,
    dotfiles: 'ignore',
    setHeaders: (res: { setHeader(name: string, value: string): unknown }) => res.setHeader('Cache-Control', 'no-cache'),
  } as const;
  router.use('/assets/page', onlyAssets(), express.static(folder, options));
  router.use(
    '/assets/uplot',
    onlyAssets(),
    express.static(join(dirname(createRequire(import.meta.url).resolve('uplot/package.json')), 'dist'), options),
  );
  router.use('/assets', () => {
    throw new FleetError('NOT_FOUND', 'There is nothing at this path.');
  });
  return router;
}

/** The Tasks page and what belongs to it. They hold no data: the API gives it, to those who may see it. */
export function pageRoutes(): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const page of PAGES) {
    let html: Promise<string> | null = null;
    router.get(page.path, async (req, res) => {
      if (page.path === '/' && !hasSlash(req))
        return void res
          .writeHead(302, { Location: `${req.baseUrl}/${searchOf(req)}`, 'Content-Length': 0, 'Cache-Control': 'no-store' })
          .end();
      html ??= render(page);
      const text = await html;
      res
        .writeHead(200, {
          'Content-Type': 'text/html; charset=utf-8',
          'Content-Length': Buffer.byteLength(text),
          'Cache-Control': 'no-store',
        })
        .end(text);
    });
  }
  return router;
}

async function render({ name, title, root }: Page): Promise<string> {
  const [layout, main] = await Promise.all(['layout', name].map((file) => readFile(join(folder, `${file}.html`), 'utf8')));
  const values: Readonly<Record<string, string>> = { title, root, script: name, main: (main as string).trimEnd() };
  return (layout as string).replaceAll(/\{\{(\w+)\}\}/g, (_place, key: string) => values[key] ?? '');
}

function onlyAssets(): express.RequestHandler {
  return (req, _res, next) => next(/\.(?:js|css)$/.test(req.path) ? undefined : 'router');
}

/** Mounted at `/fleet`, the first page is at `/fleet/`: from `/fleet`, relative addresses would miss it. */
function hasSlash({ originalUrl }: Request): boolean {
  return originalUrl.replace(/\?.*$/s, '').endsWith('/');
}

function searchOf({ originalUrl }: Request): string {
  const at = originalUrl.indexOf('?');
  return at === -1 ? '' : originalUrl.slice(at);
}
