import type { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import express, { type Request, Router } from 'express';
import { FleetError } from '../../shared/errors.js';
import { requireRole } from '../auth/authenticate.js';
import { type Role, principalOf } from '../auth/principal.js';
import { linkRootOf } from './base-path.js';
import { fillIn, pageFolder, readHtml, sendHtml } from './html.js';
import { pathOf } from './request.js';

/** A page. Its HTML fragment, script and style share its name. */
interface Page {
  readonly name: string;
  readonly title: string;
  /** Relative to the mount point. A regular expression, so that Express does not decode the path. */
  readonly path: string | RegExp;
  /** The relative path from the page to the mount point, see {@link linkRootOf}. */
  readonly root: './' | '../';
  /** The role that the page requires. Default: any. */
  readonly role?: Role;
}

const PAGES: readonly Page[] = [
  { name: 'overview', title: 'Overview', path: '/', root: './' },
  { name: 'tasks', title: 'Tasks', path: '/tasks', root: './' },
  { name: 'task', title: 'Task', path: /^\/tasks\/[^/]+$/, root: '../' },
  { name: 'queues', title: 'Queues', path: '/queues', root: './' },
  { name: 'workers', title: 'Workers', path: '/workers', root: './' },
  { name: 'schedules', title: 'Schedules', path: '/schedules', root: './' },
  { name: 'limits', title: 'Limits', path: '/limits', root: './' },
  { name: 'audit', title: 'Audit', path: '/audit', root: './', role: 'admin' },
];
/** The style sheets of all pages, in this order; each page has one of its own beside them. */
const STYLES = ['uplot/uPlot.min', 'page/css/tokens', 'page/css/base', 'page/css/form', 'page/css/table'];
/** The filters of the task list in the query of `/`, where the list used to be. */
const LIST_FILTERS = ['item', 'state', 'name', 'limit'];

/**
 * Serves the pages' scripts, styles and icon without authentication: they are public.
 * @throws FleetError `PACKAGE_FILE_MISSING` in a bundle
 */
export function pageAssets(): Router {
  const router = Router({ caseSensitive: true });
  // Always revalidated (usually a 304), so that a page never mixes assets of two versions.
  const options = {
    index: false,
    redirect: false,
    dotfiles: 'ignore',
    setHeaders: (res: { setHeader(name: string, value: string): unknown }) => res.setHeader('Cache-Control', 'no-cache'),
  } as const;
  router.use('/assets/page', onlyAssets(), express.static(pageFolder(), options));
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
  router.get('/stats', (req, res) => redirect(res, `${req.baseUrl}/`));
  router.get('/', (req, res, next) => {
    if (!hasSlash(req)) return redirect(res, `${req.baseUrl}/${searchOf(req)}`);
    // The overview covers all tasks, and the task list was here once.
    const filtered = LIST_FILTERS.some((name) => new URLSearchParams(searchOf(req)).has(name));
    if (filtered || principalOf(res).items !== null) return redirect(res, `${req.baseUrl}/tasks${searchOf(req)}`);
    next();
  });
  for (const page of PAGES) {
    let html: Promise<string> | null = null;
    const role = page.role ? [requireRole(page.role)] : [];
    router.get(page.path, ...role, async (_req, res) => {
      html ??= renderPage(page);
      sendHtml(res, 200, fillIn(await html, { root: linkRootOf(res, page.root) }));
    });
  }
  return router;
}

function redirect(res: ServerResponse, location: string): void {
  res.writeHead(302, { Location: location, 'Content-Length': 0, 'Cache-Control': 'no-store' }).end();
}

/** Renders a page, whose links to the dashboard begin with `{{root}}`. */
async function renderPage({ name, title }: Page): Promise<string> {
  const styles = [...STYLES, `page/css/pages/${name}`].map((style) => `  <link rel="stylesheet" href="{{root}}assets/${style}.css">`);
  const [layout, main] = await Promise.all([readHtml('layout'), readHtml(name)]);
  return fillIn(layout, { title, root: '{{root}}', script: name, main, styles: styles.join('\n') });
}

function onlyAssets(): express.RequestHandler {
  return (req, _res, next) => next(/\.(?:js|css|svg)$/.test(pathOf(req)) ? undefined : 'router');
}

/** Whether the path ends with a slash: mounted at `/fleet`, relative URLs resolve from `/fleet/` only. */
function hasSlash({ originalUrl }: Request): boolean {
  return originalUrl.replace(/\?.*$/s, '').endsWith('/');
}

function searchOf({ originalUrl }: Request): string {
  const at = originalUrl.indexOf('?');
  return at === -1 ? '' : originalUrl.slice(at);
}
