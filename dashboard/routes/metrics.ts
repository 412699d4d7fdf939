import { type RequestHandler, Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { principalOf } from '../auth/principal.js';
import { requireRole } from '../auth/require-role.js';
import { CONTENT_TYPE } from '../metrics/exposition.js';
import { Scrape } from '../metrics/scrape.js';

/**
 * `GET /metrics`: the fleet for Prometheus, and this process. 200 also while Redis is away, then with `taskfleet_redis_up 0`
 * and within two seconds: an alert needs an answer. docs/metrics.md has what is in it.
 *
 * For viewers that see everything: it has the totals of all items. Prometheus sends a bearer token.
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

/** @throws FleetError `FORBIDDEN` for who sees some items only */
const requireAllItems: RequestHandler = (_req, res, next) => {
  const { name, items } = principalOf(res);
  if (items !== null) throw new FleetError('FORBIDDEN', `The metrics are of all items; ${name} sees some only.`);
  next();
};
