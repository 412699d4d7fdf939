import { type Request, type RequestHandler, type Response, Router } from 'express';
import type { z } from 'zod';
import { type ErrorCode, FleetError } from '../../shared/errors.js';
import { asUnavailable } from '../../shared/redis/connection-errors.js';
import { fieldErrorsOf } from '../../shared/task/definition.js';
import { audited } from '../auth/audit.js';
import { requireRole } from '../auth/authenticate.js';
import { refuseItemTokens } from '../auth/item-tokens.js';
import { principalOf } from '../auth/principal.js';
import { shorten } from '../http/problem.js';
import { reachRedis } from '../http/reach-redis.js';
import { sendJson } from '../http/send-json.js';
import { traced } from '../http/traced.js';
import type { ApiContext } from './context.js';
import { readBody } from './read-body.js';
import type { Answer, Call, Route } from './route.js';

/**
 * Builds a router for these routes. Each checks the caller's role, then path, query, headers and body, then that Redis responds. HEAD
 * is answered as GET; other methods get 405 with `Allow`, other paths 404.
 */
export function mountRoutes(routes: readonly Route[], api: ApiContext): Router {
  const router = Router({ caseSensitive: true, strict: true });
  for (const path of new Set(routes.map((route) => route.path))) {
    const sharing = routes.filter((route) => route.path === path);
    const place = router.route(path.replaceAll(/\{(\w+)\}/g, ':$1'));
    for (const route of sharing) place[route.method](...guardsOf(route), handlerOf(route, api));
    place.all(refuseMethod(sharing, widerMethods(path, routes)));
  }
  router.use(() => {
    throw new FleetError('NOT_FOUND', 'There is nothing at this path.');
  });
  return router;
}

function guardsOf({ role, itemTokens }: Route): RequestHandler[] {
  return [...(itemTokens ? [] : [refuseItemTokens]), requireRole(role)];
}

function handlerOf(route: Route, api: ApiContext): RequestHandler {
  const handle = async (req: Request, res: Response): Promise<void> => {
    const call = await checkCall(route, api, req, res);
    await reachRedis(api.producer, req);
    try {
      const answer = await answerOf(route, call);
      if (answer) send(res, answer);
    } catch (error) {
      throw asUnavailable(api.store.redis, error);
    }
  };
  return (req, res) => traced(api.producer.telemetry, { req, res, route: route.path }, () => handle(req, res));
}

async function checkCall(route: Route, api: ApiContext, req: Request, res: Response): Promise<Call<unknown, unknown, unknown, unknown>> {
  const { params, query, headers, body } = route;
  return {
    ...{ api, req, res, principal: principalOf(res) },
    params: params && validate(params, { ...req.params }, 'path'),
    // Unknown query parameters are refused even by routes without any.
    query: validate(query, readQuery(req.url), 'query'),
    headers: headers && validate(headers, req.headers, 'header'),
    body: body && validate(body, await readBody(req, res, api.body), 'body'),
  };
}

async function answerOf(route: Route, call: Parameters<Route['handle']>[0]): Promise<Answer | null> {
  const subject = route.audit?.(call);
  if (!subject) return route.handle(call);
  let answer: Answer | null = null;
  await audited(call.res, subject, async () => {
    answer = await route.handle(call);
    return answer?.outcome ?? 'done';
  });
  return answer;
}

/** Returns the methods of routes with parameters that match this path too: a task may have the id `stop`. */
function widerMethods(path: string, routes: readonly Route[]): ReadonlySet<string> {
  const matches = (wider: string): boolean => new RegExp(`^${wider.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path);
  const wider = routes.filter((route) => route.path !== path && matches(route.path));
  return new Set(wider.flatMap(methodsOf));
}

function methodsOf({ method }: Route): string[] {
  return method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()];
}

function refuseMethod(routes: readonly Route[], passedOn: ReadonlySet<string>): RequestHandler {
  const methods = [...routes.flatMap(methodsOf), ...passedOn];
  const allow = [...methods, 'OPTIONS'].join(', ');
  return (req, res, next) => {
    if (passedOn.has(req.method)) return next();
    res.setHeader('Allow', allow);
    if (req.method !== 'OPTIONS') throw new FleetError('METHOD_NOT_ALLOWED', `Expected one of the methods ${allow}.`);
    res.writeHead(204).end();
  };
}

function send(res: Response, { status, body, headers = {} }: Answer): void {
  if (body === undefined) res.writeHead(status, { 'Cache-Control': 'no-store', ...headers }).end();
  else sendJson(res, body, { status, headers });
}

/** A part of a request. */
type Part = 'path' | 'query' | 'header' | 'body';

/**
 * Parses a part of a request with its schema.
 * @throws FleetError `BAD_REQUEST` or the code given by the schema, with each invalid field
 */
function validate<Schema extends z.ZodType>(schema: Schema, value: unknown, part: Part): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = fieldErrorsOf(parsed.error).map(({ field, message }) => ({ field: field || part, message: `${message}.` }));
  const [issue] = parsed.error.issues;
  const code = issue?.code === 'custom' ? (issue.params?.['code'] as ErrorCode | undefined) : undefined;
  const [first] = errors;
  throw new FleetError(code ?? 'BAD_REQUEST', `Bad ${shorten(first?.field ?? part)}: ${first?.message ?? 'invalid value.'}`, {
    details: { errors },
  });
}

/**
 * Parses the query of a URL, independently of the query parser of the app that mounts the router. A repeated name becomes an array.
 * @throws FleetError `BAD_REQUEST`
 */
function readQuery(url: string): Record<string, string | string[]> {
  const start = url.indexOf('?');
  const values = new Map<string, string | string[]>();
  if (start === -1) return {};
  for (const pair of url
    .slice(start + 1)
    .split('&')
    .filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    const name = decode(equals === -1 ? pair : pair.slice(0, equals));
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1));
    const before = values.get(name);
    values.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(values);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (error) {
    throw new FleetError('BAD_REQUEST', 'Bad query: expected percent-encoded UTF-8.', { cause: error, details: { field: 'query' } });
  }
}
