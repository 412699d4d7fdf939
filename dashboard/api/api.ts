import { type ErrorRequestHandler, Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { Overview } from '../overview/overview.js';
import { type ApiContext, KnownDefinitions } from './context.js';
import { docsRoutes } from './docs-page.js';
import { mountRoutes } from './mount-routes.js';
import { API_PATH, describeRoutes } from './openapi.js';
import type { Route } from './route.js';
import { accountRoutes } from './routes/account.js';
import { auditRoutes } from './routes/audit.js';
import { bulkRoutes } from './routes/bulk/bulk.js';
import { definitionRoutes } from './routes/definitions.js';
import { eventRoutes } from './routes/events.js';
import { fleetRoutes } from './routes/fleet/fleet.js';
import { workerRoutes } from './routes/fleet/workers.js';
import { itemRoutes } from './routes/items.js';
import { limitRoutes } from './routes/limits.js';
import { logRoutes } from './routes/logs.js';
import { overviewRoutes } from './routes/overview.js';
import { queueRoutes } from './routes/queues.js';
import { scheduleRoutes } from './routes/schedules.js';
import { statusRoutes } from './routes/status.js';
import { inputRoutes } from './routes/task-details/input.js';
import { relatedRoutes } from './routes/task-details/related.js';
import { taskRoutes } from './routes/tasks.js';
import { EventStreams, type StreamOptions } from './stream/event-streams.js';

interface ApiOptions extends StreamOptions {
  readonly producer: Producer;
  readonly store: Store;
  readonly logger: Logger;
  /** Definitions that may be enqueued in addition to the built-in tasks. Default: none. */
  readonly definitions?: readonly AnyDefinition[];
  /** Maximum size of a request body, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number | undefined;
  /** Timeout for receiving a request body, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number | undefined;
}

interface Api {
  /** Serves `/api/v1`, `/openapi.json` and `/docs`; mounted behind `authenticate`. */
  readonly router: Router;
  /** Ends all event streams. */
  readonly close: () => void;
}

/** All routes of `/api/v1`. */
export const ROUTES: readonly Route[] = [
  ...bulkRoutes,
  ...taskRoutes,
  ...inputRoutes,
  ...relatedRoutes,
  ...itemRoutes,
  ...eventRoutes,
  ...logRoutes,
  ...fleetRoutes,
  ...workerRoutes,
  ...overviewRoutes,
  ...scheduleRoutes,
  ...limitRoutes,
  ...queueRoutes,
  ...definitionRoutes,
  ...accountRoutes,
  ...auditRoutes,
  ...statusRoutes,
];

export function createApi({
  producer,
  store,
  logger,
  definitions = [],
  bodyLimit = 1_048_576,
  bodyTimeoutMs = 10_000,
  ...streamOptions
}: ApiOptions): Api {
  const streams = new EventStreams(producer, store, logger, streamOptions);
  const known = new KnownDefinitions(definitions);
  const api: ApiContext = {
    ...{ producer, store, logger, streams },
    definitions: known,
    overview: new Overview({ store, producer, timeoutOf: (name) => known.timeoutOf(name) }),
    body: { maxBytes: bodyLimit, timeoutMs: bodyTimeoutMs },
  };
  const router = Router({ caseSensitive: true });
  router.use(API_PATH, mountRoutes(ROUTES, api), onUndecodablePath);
  router.use(docsRoutes(() => describeRoutes(ROUTES)));
  return { router, close: () => streams.close() };
}

/** Handles paths that Express cannot decode, such as `%zz`, which fail before any route matches. */
const onUndecodablePath: ErrorRequestHandler = (error: unknown, _req, _res, next) => {
  next(
    error instanceof URIError
      ? new FleetError('BAD_REQUEST', 'Bad path: expected percent-encoded UTF-8.', { cause: error, details: { field: 'path' } })
      : error,
  );
};
