import { Router } from 'express';
import type { Producer } from '../../producer/index.js';
import type { LogLosses } from '../../shared/log-sink.js';
import { checkReadiness } from '../readiness.js';
import { sendJson } from '../send-json.js';

/**
 * For probes.
 * - `GET /livez`: 200 `{"status":"live"}` as long as the process answers. Does not touch Redis: a restart would not cure it.
 * - `GET /readyz`: `{"status":…,"checks":[{"name","ok","detail"}]}` within two seconds: 200 for `ready` and `degraded`, 503
 *   for `unready`, see {@link checkReadiness}.
 */
export function healthRoutes(producer: Producer, losses?: () => LogLosses): Router {
  const router = Router({ caseSensitive: true });
  router.get('/livez', (_req, res) => sendJson(res, { status: 'live' }));
  router.get('/readyz', async (_req, res) => {
    const readiness = await checkReadiness(producer, losses?.());
    sendJson(res, readiness, readiness.status === 'unready' ? { status: 503, headers: { 'Retry-After': '2' } } : {});
  });
  return router;
}
