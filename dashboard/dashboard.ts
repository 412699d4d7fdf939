import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Request, type Response, Router } from 'express';
import type { Producer } from '../producer/index.js';
import { findStore, storeOf } from '../producer/store-of.js';
import { configOf, definitionOf, describeValue, isObject } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import { resolveSettings } from '../shared/settings.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { createApi } from './api/api.js';
import type { StreamOptions } from './api/stream/event-streams.js';
import { auditRefusals } from './auth/audit.js';
import { type Auth, createAuth } from './auth/auth.js';
import { Auditor } from './auth/auditor.js';
import { boardProblems, boardRoutes } from './board.js';
import { pageAssets, pageRoutes } from './pages.js';
import { problemHandler } from './problem.js';
import { requestContext } from './request-context.js';
import { healthRoutes } from './routes/health.js';
import { metricsRoutes } from './routes/metrics.js';
import { taskRoutes } from './routes/tasks.js';
import { securityHeaders } from './security-headers.js';

export interface DashboardConfig {
  /** The service's own. The dashboard never closes it. */
  readonly producer: Producer;
  /** Who may use it. There is no default: see {@link Auth}. */
  readonly auth: Auth;
  /** What may be enqueued beside the built-in tasks. Default: nothing. */
  readonly definitions?: readonly AnyDefinition[];
  /** The longest body of a request, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number;
  /** How long a body may take to arrive, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number;
  /** Limits of the event streams. */
  readonly streams?: StreamOptions;
  /** Where unexpected errors are logged, under `dashboard`. Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
}

export interface Dashboard {
  /**
   * An Express 5 router: `app.use('/fleet', dashboard.router)`. What it has no route for goes on to `next`. Its type
   * names Node's classes only, and so does its code: any framework that can run a Connect middleware can mount it.
   */
  readonly router: (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;
  /** Ends what it keeps open: event streams. May be called again. */
  readonly close: () => Promise<void>;
}

/**
 * The fleet's HTTP door, for a service to mount in its own Express app. It opens no port and owns no connection.
 *
 * Mount it at a path of its own: with `auth` given as settings, everything below that is behind its sign-in.
 *
 * Routes, below where it is mounted:
 * - `GET /api/tasks`, `POST /api/tasks/stop/{task_id}`, `GET /api/tasks/chat/{item}`, `POST /api/tasks/chat/{item}/stop`:
 *   paths and bodies of open-webui (`backend/open_webui/main.py`), see {@link taskRoutes}.
 * - `/api/v1`, `GET /openapi.json`, and `GET /docs` to read it: see {@link createApi}.
 * - `/board`: Bull Board, see {@link boardRoutes}.
 * - `/`, `/tasks/{id}`, `/workers`, `/schedules`, `/stats`: pages for people, see {@link pageRoutes}; `/assets` is theirs.
 * - `GET /livez`, `GET /readyz`: for probes, see {@link healthRoutes}.
 * - `GET /metrics`: for Prometheus, see {@link metricsRoutes}.
 *
 * Errors are RFC 9457 problems with a stable `code`, see {@link problemHandler}.
 */
export function createDashboard(config: DashboardConfig): Dashboard {
  const {
    producer,
    auth,
    definitions = [],
    bodyLimit,
    bodyTimeoutMs,
    streams,
    loggers = createLoggerFactory({ settings: resolveSettings({}) }),
  } = checkConfig(config);
  const router = Router({ caseSensitive: true });
  const logger = loggers('dashboard');
  const api = createApi({ producer, logger, definitions, bodyLimit, bodyTimeoutMs, ...streams });
  const { guard, signIn, authenticate } = createAuth(auth, producer, logger);
  router.use(requestContext(new Auditor(() => storeOf(producer), logger)));
  router.use(securityHeaders());
  // Pages tell ages by it: as all times are, by the clock of Redis.
  router.use((_req, res, next) => {
    const store = findStore(producer);
    if (store) res.setHeader('Date', new Date(store.clock.now()).toUTCString());
    next();
  });
  router.use(guard);
  router.use(healthRoutes(producer, loggers.losses));
  router.use(signIn);
  router.use(pageAssets());
  router.use(authenticate);
  router.use(metricsRoutes(producer, logger));
  router.use(api.router);
  router.use(taskRoutes(producer));
  router.use(boardRoutes({ producer, definitions, bodyLimit, bodyTimeoutMs }));
  router.use('/board', auditRefusals(), boardProblems(logger));
  router.use(pageRoutes());
  router.use(auditRefusals());
  router.use(problemHandler(logger));
  return { router: (req, res, next) => router(req as Request, res as Response, next), close: () => Promise.resolve(api.close()) };
}

/** @throws FleetError `INVALID_SETTINGS`, `INVALID_DEFINITION` */
function checkConfig(config: DashboardConfig): DashboardConfig {
  const { producer, definitions = [] } = configOf(config, 'createDashboard');
  if (!isObject(producer))
    throw new FleetError(
      'INVALID_SETTINGS',
      `createDashboard: expected as producer one of createProducer, got ${describeValue(producer)}.`,
    );
  if (!Array.isArray(definitions))
    throw new FleetError('INVALID_SETTINGS', `createDashboard: expected as definitions an array, got ${describeValue(definitions)}.`);
  definitions.forEach(definitionOf);
  return config;
}
