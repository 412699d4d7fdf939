import type { RequestListener } from 'node:http';
import { type Request, type Response, Router } from 'express';
import { Producer } from '../producer/index.js';
import { configOf, definitionOf, describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { type Loggers, loggersOf } from '../shared/log/given-loggers.js';
import { resolveSettings } from '../shared/settings/settings.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { createApi } from './api/api.js';
import { taskRoutes } from './api/open-webui.js';
import { API_PATH } from './api/openapi.js';
import type { StreamOptions } from './api/stream/event-streams.js';
import { Auditor, auditRefusals, auditWith } from './auth/audit.js';
import { type Auth, createAuth } from './auth/auth.js';
import { refuseItemTokensOutside } from './auth/item-tokens.js';
import { boardProblems, boardRoutes } from './board/board.js';
import { type DashboardHandlerOptions, type FleetRouter, appOf } from './handler.js';
import { BasePath } from './http/base-path.js';
import { allowOrigins } from './http/headers/cors.js';
import { securityHeaders } from './http/headers/security-headers.js';
import { healthRoutes } from './http/health.js';
import { pageAssets, pageRoutes } from './http/pages.js';
import { problemHandler } from './http/problem.js';
import { assignRequestId } from './http/request.js';
import { observeQueues } from './metrics/queue-gauges.js';
import { metricsRoutes } from './metrics/scrape.js';

export interface DashboardConfig {
  /** The service's producer. The dashboard never closes it. */
  readonly producer: Producer;
  /** Who may use the dashboard; required, see {@link Auth}. */
  readonly auth: Auth;
  /** Definitions that may be enqueued in addition to the built-in tasks. Default: none. */
  readonly definitions?: readonly AnyDefinition[];
  /**
   * The path at which a proxy that strips it serves the app: `/fleet`. The path at which the app mounts the router follows it. Default:
   * the `X-Forwarded-Prefix` of a proxy that the app trusts (Express's `trust proxy`), else none.
   */
  readonly basePath?: string;
  /** Web origins whose pages may use `/api/v1`, as browsers send them: `https://app.example`. Default: none but its own. */
  readonly corsOrigins?: readonly string[];
  /** Maximum size of a request body, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number;
  /** Timeout for receiving a request body, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number;
  /** Limits of the event streams. */
  readonly streams?: StreamOptions;
  /** Loggers for unexpected errors, under `dashboard`: see {@link Loggers}. Default: JSON lines on standard error. */
  readonly loggers?: Loggers;
}

export interface Dashboard {
  /**
   * An Express 5 router: `app.use('/fleet', dashboard.router)`. Requests without a route go to `next`. It relies on Node's classes
   * only, so any framework that accepts Connect middleware can mount it; others take `handler`.
   */
  readonly router: FleetRouter;
  /**
   * Returns a plain Node.js request handler for everything below a path, for frameworks that have no Connect middleware:
   * `handler('/fleet')`. It expects requests with their whole URL and an unread body, and answers 404 elsewhere.
   * @throws FleetError `INVALID_SETTINGS` for a path that does not begin with a slash, ends with one, or has other characters than
   *   letters, digits and `_ . ~ -` between them
   */
  readonly handler: (path: string, options?: DashboardHandlerOptions) => RequestListener;
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
 * - `/`, `/tasks/{id}`, `/workers`, `/queues`, `/schedules`, `/limits`, `/audit`: web pages, see {@link pageRoutes}; their assets are at `/assets`.
 * - `GET /livez`, `GET /readyz`: for probes, see {@link healthRoutes}.
 * - `GET /metrics`: for Prometheus, see {@link metricsRoutes}.
 *
 * Errors are RFC 9457 problems with a stable `code`, see {@link problemHandler}.
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_DEFINITION`; `PACKAGE_FILE_MISSING` in a program that is bundled with this package
 */
export function createDashboard(config: DashboardConfig): Dashboard {
  const { producer, auth, definitions = [], bodyLimit, bodyTimeoutMs, streams, loggers: given } = checkConfig(config);
  const { store } = producer;
  const assets = pageAssets();
  const fleet = { producer, store };
  const endGauges = producer.telemetry ? observeQueues(producer.telemetry, store) : null;
  const router = Router({ caseSensitive: true });
  const settings = resolveSettings({ apiBasePath: config.basePath, apiCorsOrigins: config.corsOrigins });
  const loggers = loggersOf(given, 'createDashboard', settings);
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
  router.use(API_PATH, allowOrigins(settings.apiCorsOrigins));
  router.use(guard);
  router.use(healthRoutes(fleet, loggers.losses));
  router.use(signIn);
  router.use(assets);
  router.use(authenticate);
  router.use(refuseItemTokensOutside(API_PATH));
  router.use(metricsRoutes(fleet, logger));
  router.use(api.router);
  router.use(taskRoutes(producer));
  router.use(boardRoutes({ producer, store, bodyLimit, bodyTimeoutMs }));
  router.use('/board', auditRefusals(), boardProblems(logger));
  router.use(pageRoutes());
  router.use(auditRefusals());
  router.use(problemHandler(logger));
  const basePath = new BasePath(settings.apiBasePath, logger);
  const mounted: FleetRouter = (req, res, next) => router(req as Request, res as Response, basePath.enter(req, res, next));
  return {
    router: mounted,
    handler: (path, options) => appOf(mounted, path, logger, options),
    close: () => {
      endGauges?.();
      return Promise.resolve(api.close());
    },
  };
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
