import { Router } from 'express';
import type { Producer } from '../../producer/index.js';
import type { LogLosses } from '../../shared/log-sink.js';
import { cached } from './cached.js';
import { checkReadiness } from './readiness.js';
import { sendJson } from './send-json.js';

/** How long a response of `/readyz` is cached, in ms. */
const READY_MS = 1_000;

/**
 * The routes for health probes.
 * - `GET /livez`: 200 `{"status":"live"}` while the process responds. Independent of Redis: a restart would not fix Redis.
 * - `GET /readyz`: `{"status":…,"checks":[{"name","ok","detail"}]}` within two seconds: 200 for `ready` and `degraded`, 503
 *   for `unready`, see {@link checkReadiness}. Responses are cached for a second.
 */
export function healthRoutes(producer: Producer, losses?: () => LogLosses): Router {
  const router = Router({ caseSensitive: true });
  const ready = cached(READY_MS, () => checkReadiness(producer, losses?.()));
  router.get('/livez', (_req, res) => sendJson(res, { status: 'live' }));
  router.get('/readyz', async (_req, res) => {
    const readiness = await ready();
    sendJson(res, readiness, readiness.status === 'unready' ? { status: 503, headers: { 'Retry-After': '2' } } : {});
  });
  return router;
}
