import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type Express, type RequestHandler } from 'express';
import { describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/log/logger.js';
import { auditRefusals } from './auth/audit.js';
import { problemHandler } from './http/problem.js';

/** A router of Express 5, by Node's own types: a change of Express's types does not reach users. */
export type FleetRouter = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

export interface DashboardHandlerOptions {
  /** Addresses of trusted proxies, or one number of hops, as in `API_TRUST_PROXY`. Default: none. */
  readonly trustProxy?: readonly string[];
}

/** Segments of characters that mean themselves in a URL and in a route of Express. */
const PATH = /^(?:\/[\w.~-]+)*$/;

/**
 * Returns an Express app with nothing but the dashboard, below the path.
 * @throws FleetError `INVALID_SETTINGS` for another path
 */
export function appOf(router: FleetRouter, path: string, logger: Logger, { trustProxy = [] }: DashboardHandlerOptions = {}): Express {
  if (typeof path !== 'string' || !PATH.test(path)) {
    const expected = "'' or a path like '/fleet', without a slash at its end";
    throw new FleetError('INVALID_SETTINGS', `dashboard.handler: expected ${expected}, got ${describeValue(path)}.`);
  }
  const app = express().disable('x-powered-by').disable('etag').enable('case sensitive routing');
  app.set('trust proxy', trustedProxies(trustProxy));
  const notFound: RequestHandler = (_req, _res, next) => next(new FleetError('NOT_FOUND', 'There is nothing at this path.'));
  app.use(path || '/', router, notFound, auditRefusals());
  return app.use(notFound, problemHandler(logger));
}

/** Converts the setting to Express's `trust proxy`: a hop count, a list of addresses, or false. */
function trustedProxies(setting: readonly string[]): number | string[] | false {
  if (setting.length === 0) return false;
  const [first = ''] = setting;
  return setting.length === 1 && /^\d+$/.test(first) ? Number(first) : [...setting];
}
