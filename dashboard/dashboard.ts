import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Request, type Response, Router } from 'express';
import { Producer } from '../producer/index.js';
import { configOf, definitionOf, describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import { resolveSettings } from '../shared/settings/settings.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { createApi } from './api/api.js';
import { taskRoutes } from './api/open-webui.js';
import type { StreamOptions } from './api/stream/event-streams.js';
import { Auditor, auditRefusals, auditWith } from './auth/audit.js';
import { type Auth, createAuth } from './auth/auth.js';
import { boardProblems, boardRoutes } from './board/board.js';
import { healthRoutes } from './http/health.js';
import { pageAssets, pageRoutes } from './http/pages.js';
import { problemHandler } from './http/problem.js';
import { assignRequestId } from './http/request.js';
import { securityHeaders } from './http/security-headers.js';
import { metricsRoutes } from './metrics/scrape.js';

export interface DashboardConfig {
  /** The service's producer. The dashboard never closes it. */
  readonly producer: Producer;
  /** Who may use the dashboard; required, see {@link Auth}. */
  readonly auth: Auth;
  /** Definitions that may be enqueued in addition to the built-in tasks. Default: none. */
  readonly definitions?: readonly AnyDefinition[];
  /** Maximum size of a request body, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number;
  /** Timeout for receiving a request body, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number;
  /** Limits of the event streams. */
  readonly streams?: StreamOptions;
  /** Loggers for unexpected errors, under `dashboard`. Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
}

export interface Dashboard {
  /**
   * An Express 5 router: `app.use('/fleet', dashboard.router)`. Requests without a route go to `next`. It relies on Node's classes
   * only, so any framework that accepts Connect middleware can mount it.
   */
  readonly router: (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;
  /** Closes all event streams. May be called again. */
  readonly close: () => Promise<void>;
}

/**
 * Creates the fleet's HTTP interface, to be mounted in a service's Express app. It opens no port and owns no connection.
 *
 * Mount it at a dedicated path: with `auth` given as settings, everything below that path requires a sign-in.
 *
 * Routes, relative to the mount point:
 * - `GET /api/tasks`, `POST /api/tasks/stop/{task_id}`, `GET /api/tasks/chat/{item}`, `POST /api/tasks/chat/{item}/stop`:
 *   paths and bodies of open-webui (`backend/open_webui/main.py`), see {@link taskRoutes}.
 * - `/api/v1`, `GET /openapi.json` and its reader `GET /docs`: see {@link createApi}.
 * - `/board`: Bull Board, see {@link boardRoutes}.
 * - `/`, `/tasks/{id}`, `/workers`, `/schedules`, `/stats`: web pages, see {@link pageRoutes}; their assets are at `/assets`.
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
  const { store } = producer;
  const fleet = { producer, store };
  const router = Router({ caseSensitive: true });
  const logger = loggers('dashboard');
  const api = createApi({ producer, store, logger, definitions, bodyLimit, bodyTimeoutMs, ...streams });
  const { guard, signIn, authenticate } = createAuth(auth, fleet, logger);
  router.use(assignRequestId());
  router.use(auditWith(new Auditor(store, logger)));
  router.use(securityHeaders());
  // Pages compute ages from this header, by the clock of Redis, as all times are.
  router.use((_req, res, next) => {
    res.setHeader('Date', new Date(store.clock.now()).toUTCString());
    next();
  });
  router.use(guard);
  router.use(healthRoutes(fleet, loggers.losses));
  router.use(signIn);
  router.use(pageAssets());
  router.use(authenticate);
  router.use(metricsRoutes(fleet, logger));
  router.use(api.router);
  router.use(taskRoutes(producer));
  router.use(boardRoutes({ producer, store, bodyLimit, bodyTimeoutMs }));
  router.use('/board', auditRefusals(), boardProblems(logger));
  router.use(pageRoutes());
  router.use(auditRefusals());
  router.use(problemHandler(logger));
  return { router: (req, res, next) => router(req as Request, res as Response, next), close: () => Promise.resolve(api.close()) };
}

/** @throws FleetError `INVALID_SETTINGS`, `INVALID_DEFINITION` */
function checkConfig(config: DashboardConfig): DashboardConfig {
  const { producer, definitions = [] } = configOf(config, 'createDashboard');
  if (!(producer instanceof Producer)) {
    throw new FleetError(
      'INVALID_SETTINGS',
      `createDashboard: expected a producer from createProducer of this copy of taskfleet, got ${describeValue(producer)}.`,
    );
  }
  if (!Array.isArray(definitions))
    throw new FleetError('INVALID_SETTINGS', `createDashboard: expected definitions to be an array, got ${describeValue(definitions)}.`);
  definitions.forEach(definitionOf);
  return config;
}
