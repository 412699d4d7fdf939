import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Request, Router } from 'express';
import { FleetError } from '../../shared/errors.js';

/** A page. Its HTML fragment and script share its name. */
interface Page {
  readonly name: string;
  readonly title: string;
  /** Relative to the mount point. A regular expression, so that Express does not decode the path. */
  readonly path: string | RegExp;
  /** The relative path from the page to the mount point; all URLs in the page are relative. */
  readonly root: './' | '../';
}

const PAGES: readonly Page[] = [
  { name: 'tasks', title: 'Tasks', path: '/', root: './' },
  { name: 'task', title: 'Task', path: /^\/tasks\/[^/]+$/, root: '../' },
  { name: 'workers', title: 'Workers', path: '/workers', root: './' },
  { name: 'schedules', title: 'Schedules', path: '/schedules', root: './' },
  { name: 'stats', title: 'Statistics', path: '/stats', root: './' },
];

/** Compiled by scripts/build.mjs from dashboard/page. */
const folder = fileURLToPath(new URL('../page/', import.meta.url));

/** Serves the pages' scripts and styles without authentication: they are public. */
export function pageAssets(): Router {
  const router = Router({ caseSensitive: true });
  // Always revalidated (usually a 304), so that a page never mixes assets of two versions.
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

/** Serves the pages. They contain no data; the API returns it to authorized callers. */
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
  const [layout, main] = await Promise.all(['layout', name].map((file) => readFile(join(folder, 'html', `${file}.html`), 'utf8')));
  const values: Readonly<Record<string, string>> = { title, root, script: name, main: (main as string).trimEnd() };
  return (layout as string).replaceAll(/\{\{(\w+)\}\}/g, (_place, key: string) => values[key] ?? '');
}

function onlyAssets(): express.RequestHandler {
  return (req, _res, next) => next(/\.(?:js|css)$/.test(req.path) ? undefined : 'router');
}

/** Whether the path ends with a slash: mounted at `/fleet`, relative URLs resolve from `/fleet/` only. */
function hasSlash({ originalUrl }: Request): boolean {
  return originalUrl.replace(/\?.*$/s, '').endsWith('/');
}

function searchOf({ originalUrl }: Request): string {
  const at = originalUrl.indexOf('?');
  return at === -1 ? '' : originalUrl.slice(at);
}
