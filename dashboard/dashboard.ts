import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Request, type Response, Router } from 'express';
import type { Producer } from '../producer/index.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import { resolveSettings } from '../shared/settings.js';
import { problemHandler } from './problem.js';
import { healthRoutes } from './routes/health.js';
import { taskRoutes } from './routes/tasks.js';

export interface DashboardConfig {
  /** The service's own. The dashboard never closes it. */
  readonly producer: Producer;
  /** Where unexpected errors are logged, under `dashboard`. Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
}

export interface Dashboard {
  /**
   * An Express 5 router: `app.use('/fleet', dashboard.router)`. What it has no route for goes on to `next`. Its type
   * names Node's classes only, and so does its code: any framework that can run a Connect middleware can mount it.
   */
  readonly router: (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;
}

/**
 * The fleet's HTTP door, for a service to mount in its own Express app. It opens no port and owns no connection.
 *
 * **It has no authentication, and no protection against cross-site requests.** Whoever can reach it sees the ids of all
 * tasks, of every user, and can stop them: mount it behind your own (`app.use('/fleet', requireAdmin, dashboard.router)`).
 *
 * Routes, below where it is mounted:
 * - `GET /api/tasks`, `POST /api/tasks/stop/{task_id}`, `GET /api/tasks/chat/{item}`, `POST /api/tasks/chat/{item}/stop`:
 *   paths and bodies of open-webui (`backend/open_webui/main.py`), see {@link taskRoutes}.
 * - `GET /livez`, `GET /readyz`: for probes, see {@link healthRoutes}.
 *
 * Errors are RFC 9457 problems with a stable `code`, see {@link problemHandler}.
 */
export function createDashboard({ producer, loggers = createLoggerFactory({ settings: resolveSettings({}) }) }: DashboardConfig): Dashboard {
  const router = Router({ caseSensitive: true });
  router.use(healthRoutes(producer));
  router.use(taskRoutes(producer));
  router.use(problemHandler(loggers('dashboard')));
  return { router: (req, res, next) => router(req as Request, res as Response, next) };
}
