import { Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { reachRedis } from '../reach-redis.js';
import { sendJson } from '../send-json.js';

/**
 * For probes.
 * - `GET /livez`: 200 `{"status":"live"}` as long as the process answers. Does not touch Redis: a restart would not cure it.
 * - `GET /readyz`: 200 `{"status":"ready"}` when Redis answers, else a problem with status 503, within two seconds.
 */
export function healthRoutes(producer: Producer): Router {
  const router = Router({ caseSensitive: true });
  router.get('/livez', (_req, res) => sendJson(res, { status: 'live' }));
  router.get('/readyz', async (_req, res) => {
    await reachRedis(producer);
    sendJson(res, { status: 'ready' });
  });
  return router;
}
