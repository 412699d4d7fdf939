import { type ErrorRequestHandler, Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { storeOf } from '../../producer/store-of.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ApiContext } from './context.js';
import { docsRoutes } from './docs/docs-page.js';
import { KnownDefinitions } from './known-definitions.js';
import { mountRoutes } from './mount-routes.js';
import { API_PATH, describeRoutes } from './openapi.js';
import type { Route } from './route.js';
import { auditRoutes } from './routes/audit.js';
import { definitionRoutes } from './routes/definitions.js';
import { eventRoutes } from './routes/events.js';
import { itemRoutes } from './routes/items.js';
import { meRoutes } from './routes/me.js';
import { scheduleRoutes } from './routes/schedules.js';
import { statsRoutes } from './routes/stats.js';
import { taskRoutes } from './routes/tasks.js';
import { usageRoutes } from './routes/usage.js';
import { workerRoutes } from './routes/workers.js';
import { EventStreams, type StreamOptions } from './stream/event-streams.js';

export interface ApiOptions extends StreamOptions {
  readonly producer: Producer;
  readonly logger: Logger;
  /** What may be enqueued beside the built-in tasks. Default none. */
  readonly definitions?: readonly AnyDefinition[];
  /** The longest body, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number | undefined;
  /** How long a body may take to arrive, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number | undefined;
}

export interface Api {
  /** `/api/v1`, `/openapi.json` and `/docs`. Behind `authenticate`. */
  readonly router: Router;
  /** Ends the streams of events. */
  readonly close: () => void;
}

/** Every route of `/api/v1`. */
export const ROUTES: readonly Route[] = [
  ...taskRoutes,
  ...itemRoutes,
  ...eventRoutes,
  ...workerRoutes,
  ...scheduleRoutes,
  ...definitionRoutes,
  ...usageRoutes,
  ...statsRoutes,
  ...auditRoutes,
  ...meRoutes,
];

export function createApi({
  producer,
  logger,
  definitions = [],
  bodyLimit = 1_048_576,
  bodyTimeoutMs = 10_000,
  ...streamOptions
}: ApiOptions): Api {
  const store = () => storeOf(producer);
  const streams = new EventStreams(producer, store, logger, streamOptions);
  const api: ApiContext = {
    ...{ producer, store, logger, streams },
    definitions: new KnownDefinitions(definitions),
    body: { maxBytes: bodyLimit, timeoutMs: bodyTimeoutMs },
  };
  const router = Router({ caseSensitive: true });
  router.use(API_PATH, mountRoutes(ROUTES, api), onBadEncoding);
  router.use(docsRoutes(() => describeRoutes(ROUTES)));
  return { router, close: () => streams.close() };
}

/** Express cannot decode the path, `%zz` or half a character, and says so before any route is reached. */
const onBadEncoding: ErrorRequestHandler = (error: unknown, _req, _res, next) => {
  next(
    error instanceof URIError
      ? new FleetError('BAD_REQUEST', 'Bad path: expected percent-encoded UTF-8.', { cause: error, details: { field: 'path' } })
      : error,
  );
};
