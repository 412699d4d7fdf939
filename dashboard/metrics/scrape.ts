import { type RequestHandler, Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { FleetError, messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import type { Store } from '../../shared/store.js';
import { requireRole } from '../auth/authenticate.js';
import { principalOf } from '../auth/principal.js';
import { type FleetAccess, pingRedis, reachRedis, answered } from '../http/reach-redis.js';
import { countSamples } from './count-samples.js';
import { CONTENT_TYPE, type Sample, formatSamples, sample } from './exposition.js';
import { memorySamples, processMetrics, scheduleSamples, workerSamples } from './fleet-samples.js';
import { limitSamples } from './limit-samples.js';
import { queueSamples } from './queue-samples.js';

/** Leaves time to authenticate and respond within two seconds. */
const LIMIT_MS = 1_500;

type Part = (store: Store, producer: Producer) => Promise<Sample[]>;

/** The parts read from Redis, each of which may fail on its own. */
const PARTS: Readonly<Record<string, Part>> = {
  counts: countSamples,
  queues: queueSamples,
  limits: limitSamples,
  workers: workerSamples,
  schedules: (store, producer) => scheduleSamples(producer, store),
  memory: memorySamples,
};

/** Produces the response for Prometheus. Concurrent requests share one scrape. */
export class Scrape {
  #pending: Promise<string> | null = null;

  constructor(
    private readonly fleet: FleetAccess,
    private readonly logger: Logger,
  ) {}

  /** @param reach waits until Redis responds */
  page(reach = () => pingRedis(this.fleet.producer)): Promise<string> {
    this.#pending ??= this.#scrape(reach).finally(() => {
      this.#pending = null;
    });
    return this.#pending;
  }

  async #scrape(reach: () => Promise<void>): Promise<string> {
    const startedAt = performance.now();
    const read = await this.#readInTime(reach);
    const seconds = (performance.now() - startedAt) / 1_000;
    const samples = [
      ...(read ?? []),
      sample('taskfleet_redis_up', read === null ? 0 : 1),
      sample('taskfleet_scrape_duration_seconds', seconds),
    ];
    return `${await formatSamples(samples)}\n${await processMetrics()}`;
  }

  /** Returns null if Redis is unavailable or too slow. */
  async #readInTime(reach: () => Promise<void>): Promise<Sample[] | null> {
    try {
      return await answered(LIMIT_MS, this.#read(reach));
    } catch (error) {
      this.logger.debug({ error: messageOf(error) }, 'Could not read the metrics of the fleet');
      return null;
    }
  }

  async #read(reach: () => Promise<void>): Promise<Sample[]> {
    const { producer, store } = this.fleet;
    await reach();
    const parts = await Promise.all(Object.entries(PARTS).map(([name, part]) => this.#readPart(name, part(store, producer))));
    return parts.flat();
  }

  async #readPart(part: string, reading: Promise<Sample[]>): Promise<Sample[]> {
    try {
      return [...(await reading), sample('taskfleet_scrape_part_ok', 1, { part })];
    } catch (error) {
      this.logger.warn({ part, error: messageOf(error) }, 'Could not read a part of the metrics');
      return [sample('taskfleet_scrape_part_ok', 0, { part })];
    }
  }
}

/**
 * `GET /metrics`: metrics of the fleet and of this process for Prometheus, described in docs/reference/metrics.md. Responds within two
 * seconds, with 200 even while Redis is unavailable (`taskfleet_redis_up 0`), so that alerts keep working.
 *
 * Requires a viewer without item patterns, since the totals cover all items. Prometheus sends a bearer token.
 */
export function metricsRoutes(fleet: FleetAccess, logger: Logger): Router {
  const router = Router({ caseSensitive: true });
  const scrape = new Scrape(fleet, logger);
  router.get('/metrics', requireRole('viewer'), requireAllItems, async (req, res) => {
    const page = await scrape.page(() => reachRedis(fleet.producer, req));
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
