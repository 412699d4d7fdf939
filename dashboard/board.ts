import { createBullBoard } from '@bull-board/api';
import { type ErrorRequestHandler, type RequestHandler, Router } from 'express';
import { contentSecurityPolicy } from 'helmet';
import type { Producer } from '../producer/index.js';
import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { KnownDefinitions } from './api/known-definitions.js';
import { principalOf } from './auth/principal.js';
import { audit, isWrite } from './auth/audit.js';
import { answerWith } from './board/answer.js';
import { guard } from './board/guard.js';
import { withShown } from './board/problems.js';
import { ServerAdapter } from './board/server-adapter.js';
import { problemHandler } from './problem.js';
import { CONTENT_SECURITY_POLICY } from './security-headers.js';

export interface BoardOptions {
  readonly producer: Producer;
  /** What may be added beside the built-in tasks. */
  readonly definitions: readonly AnyDefinition[];
  /** The longest body, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number | undefined;
  /** How long a body may take to arrive, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number | undefined;
}

/**
 * `/board`: Bull Board over the queues of the fleet, for those who may see all items. Who reads, who writes and what nobody
 * may is in board/rules.ts; docs/http.md tells users. It opens no connection of its own.
 */
export function boardRoutes({ producer, definitions, bodyLimit = 1_048_576, bodyTimeoutMs = 10_000 }: BoardOptions): Router {
  const context = { producer, definitions: new KnownDefinitions(definitions), body: { maxBytes: bodyLimit, timeoutMs: bodyTimeoutMs } };
  const serverAdapter = new ServerAdapter((route, all, uiConfig) => answerWith(context, route, all, uiConfig));
  const uiConfig = { boardTitle: 'taskfleet', hideDocsLink: true, miscLinks: [{ text: 'Tasks', url: '../' }] };
  createBullBoard({ queues: [], serverAdapter, options: { handlerHooks: { before: guard }, uiConfig } });
  const router = Router({ caseSensitive: true });
  router.use('/board', requireAllItems(), loosenPolicy(), serverAdapter.router, refusePath(), onBadEncoding());
  return router;
}

/** The last for `/board`: problems with what its page shows of them. */
export function boardProblems(logger: Logger): ErrorRequestHandler {
  return problemHandler(logger, withShown);
}

/** A queue's page shows all of its tasks. */
function requireAllItems(): RequestHandler {
  return async (req, res, next) => {
    const { name, items } = principalOf(res);
    if (items === null) return next();
    if (isWrite(req.method)) await audit(res, { action: 'board.write', target: req.path, outcome: { denied: 'FORBIDDEN' } });
    throw new FleetError('FORBIDDEN', `The board shows the tasks of all items, and ${name} may see certain items only.`);
  };
}

/** Its page has styles in its HTML and its components, and names its own path in a base element. */
function loosenPolicy(): RequestHandler {
  const directives = { ...CONTENT_SECURITY_POLICY, styleSrc: ["'self'", "'unsafe-inline'"], baseUri: ["'self'"] };
  return contentSecurityPolicy({ useDefaults: false, directives });
}

function refusePath(): RequestHandler {
  return (req) => {
    throw new FleetError('NOT_FOUND', `There is nothing at ${req.baseUrl}${req.path}.`);
  };
}

/** Express cannot decode the path, `%zz` or half a character. */
function onBadEncoding(): ErrorRequestHandler {
  return (error: unknown, _req, _res, next) => {
    next(error instanceof URIError ? new FleetError('BAD_REQUEST', 'Bad path: expected percent-encoded UTF-8.', { cause: error }) : error);
  };
}
