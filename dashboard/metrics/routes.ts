import { type RequestHandler, Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { principalOf } from '../auth/principal.js';
import { requireRole } from '../auth/require-role.js';
import { CONTENT_TYPE } from './exposition.js';
import { Scrape } from './scrape.js';

/**
 * `GET /metrics`: metrics of the fleet and of this process for Prometheus, described in docs/metrics.md. Responds within two seconds,
 * with 200 even while Redis is unavailable (`taskfleet_redis_up 0`), so that alerts keep working.
 *
 * Requires a viewer without item patterns, since the totals cover all items. Prometheus sends a bearer token.
 */
export function metricsRoutes(producer: Producer, logger: Logger): Router {
  const router = Router({ caseSensitive: true });
  const scrape = new Scrape(producer, logger);
  router.get('/metrics', requireRole('viewer'), requireAllItems, async (_req, res) => {
    const page = await scrape.page();
    res.writeHead(200, { 'Content-Type': CONTENT_TYPE, 'Content-Length': Buffer.byteLength(page), 'Cache-Control': 'no-store' });
    res.end(page);
  });
  return router;
}

/** @throws FleetError `FORBIDDEN` for callers with item patterns */
const requireAllItems: RequestHandler = (_req, res, next) => {
  const { name, items } = principalOf(res);
  if (items !== null) throw new FleetError('FORBIDDEN', `Metrics cover all items, but ${name} may see certain items only.`);
  next();
};
