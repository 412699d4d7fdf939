import { createBullBoard } from '@bull-board/api';
import type { AppControllerRoute, BullBoardQueues, BullBoardRequest, UIConfig } from '@bull-board/api/typings/app';
import { type ErrorRequestHandler, type RequestHandler, type Response, Router } from 'express';
import { contentSecurityPolicy } from 'helmet';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { isName } from '../../shared/keys.js';
import type { Logger } from '../../shared/log/logger.js';
import { asUnavailable } from '../../shared/redis/connection-errors.js';
import type { Store } from '../../shared/store.js';
import { type BodyLimits, readBody } from '../api/read-body.js';
import { audit, isWrite } from '../auth/audit.js';
import { type Principal, hasRole, principalOf } from '../auth/principal.js';
import { CONTENT_SECURITY_POLICY } from '../http/headers/security-headers.js';
import { problemHandler } from '../http/problem.js';
import { type FleetAccess, reachRedis } from '../http/reach-redis.js';
import { pathOf } from '../http/request.js';
import { BoardAdapter } from './adapter.js';
import type { BoardAnswer, BoardCall } from './board-call.js';
import { refusalOf, withShown } from './problems.js';
import { QueueView } from './queue-view.js';
import { type Rule, ruleOf } from './rules.js';

interface BoardOptions extends FleetAccess {
  /** The longest body, in bytes. Default 1 MiB. */
  readonly bodyLimit?: number | undefined;
  /** How long a body may take to arrive, in ms. Default 10,000. */
  readonly bodyTimeoutMs?: number | undefined;
}

const UI: UIConfig = { boardTitle: 'taskfleet', hideDocsLink: true, miscLinks: [{ text: 'Tasks', url: '../' }] };
const YEAR_S = 365 * 24 * 3_600;
/** A file whose name changes with its content. */
const HASHED = /\.[0-9a-f]{10}\.(?:js|css)$/;

/**
 * `/board`: Bull Board over the queues of the fleet, for callers who may see all items. rules.ts has the permissions;
 * docs/reference/http.md describes them for users. The board opens no connection of its own.
 */
export function boardRoutes({ producer, store, bodyLimit = 1_048_576, bodyTimeoutMs = 10_000 }: BoardOptions): Router {
  const adapter = new BoardAdapter((route, request, res) => answer({ producer, store }, route, request, res));
  createBullBoard({ queues: [], serverAdapter: adapter, options: { uiConfig: UI } });
  const body = { maxBytes: bodyLimit, timeoutMs: bodyTimeoutMs };
  const router = Router({ caseSensitive: true });
  router.use('/board', requireAllItems, boardPolicy(), keepAssets, readBodyOfWrite(body), adapter.handle, refusePath, onBadEncoding);
  return router;
}

/** The last handler for `/board`: answers errors as problems that Bull Board's page can show. */
export function boardProblems(logger: Logger): ErrorRequestHandler {
  return problemHandler(logger, withShown);
}

/** Answers a call of Bull Board's API: reads by its own handler, writes by their rule. */
async function answer(
  { producer, store }: FleetAccess,
  route: AppControllerRoute,
  given: BullBoardRequest,
  res: Response,
): Promise<BoardAnswer> {
  await reachRedis(producer, res.req);
  res.setHeader('Cache-Control', 'no-store');
  try {
    const principal = principalOf(res);
    const root = res.req.baseUrl.slice(0, res.req.baseUrl.lastIndexOf('/'));
    const request = { ...given, queues: await viewQueues(store, principal, root) };
    const proceed = async (): Promise<BoardAnswer> => {
      const { status = 200, body } = await route.handler(request);
      if (status >= 400) throw refusalOf(status, body);
      return { status, body };
    };
    if (!isWrite(res.req.method)) return await proceed();
    return await audited(ruleOf(res.req.method, String(route.route)), { producer, store, principal, root, request, proceed }, res);
  } catch (error) {
    throw asUnavailable(store.redis, error);
  }
}

/** Returns all queues that ever had a task or a worker, as this caller sees them. */
async function viewQueues(store: Store, principal: Principal, root: string): Promise<BullBoardQueues> {
  const names = (await store.registry.queueNames()).filter(isName);
  return new Map(names.map((name) => [name, new QueueView(name, { store, principal, root })]));
}

/** Runs a write, and records it whether it was done or refused. */
async function audited({ role, action, run }: Rule, call: BoardCall, res: Response): Promise<BoardAnswer> {
  const { principal, request } = call;
  const { queueName, jobId, schedulerId } = request.params as Readonly<Record<string, string | undefined>>;
  const target = [queueName, jobId ?? schedulerId].filter((part) => part !== undefined).join(' ') || null;
  try {
    if (!hasRole(principal, role))
      throw new FleetError('FORBIDDEN', `Requires the role ${role}; ${principal.name} has the role ${principal.role}.`);
    const done = await run(call);
    await audit(res, { action, target, outcome: { allowed: done.outcome ?? 'done' } });
    return done;
  } catch (error) {
    await audit(res, { action, target, outcome: { denied: isFleetError(error) ? error.code : 'INTERNAL_ERROR' } });
    throw error;
  }
}

/** A queue's page shows the tasks of all items. */
const requireAllItems: RequestHandler = async (req, res, next) => {
  const { name, items } = principalOf(res);
  if (items === null) return next();
  if (isWrite(req.method)) await audit(res, { action: 'board.write', target: pathOf(req), outcome: { denied: 'FORBIDDEN' } });
  throw new FleetError('FORBIDDEN', `The board shows the tasks of all items, and ${name} may see certain items only.`);
};

/** Bull Board's page has styles in its HTML and its components, and names its own path in a base element. */
function boardPolicy(): RequestHandler {
  const directives = { ...CONTENT_SECURITY_POLICY, styleSrc: ["'self'", "'unsafe-inline'"], baseUri: ["'self'"] };
  return contentSecurityPolicy({ useDefaults: false, directives });
}

const keepAssets: RequestHandler = (req, res, next) => {
  if (HASHED.test(pathOf(req))) res.setHeader('Cache-Control', `private, max-age=${YEAR_S}, immutable`);
  next();
};

/** Reads the body as the rest of the dashboard does. Bull Board's own reader leaves a body that has been read. */
function readBodyOfWrite(limits: BodyLimits): RequestHandler {
  return async (req, res, next) => {
    if (isWrite(req.method)) req.body = await readBody(req, res, limits);
    next();
  };
}

const refusePath: RequestHandler = (req) => {
  throw new FleetError('NOT_FOUND', `There is nothing at ${req.baseUrl}${pathOf(req)}.`);
};

/** Express cannot decode the path: `%zz`, or half a character. */
const onBadEncoding: ErrorRequestHandler = (error: unknown, _req, _res, next) => {
  next(error instanceof URIError ? new FleetError('BAD_REQUEST', 'Bad path: expected percent-encoded UTF-8.', { cause: error }) : error);
};
