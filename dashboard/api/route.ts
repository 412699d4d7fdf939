import type { Request, Response } from 'express';
import { z } from 'zod';
import type { ErrorCode } from '../../shared/errors.js';
import type { AuditSubject } from '../auth/audit.js';
import type { Principal, Role } from '../auth/principal.js';
import type { ApiContext } from './context.js';

type Method = 'get' | 'post' | 'put' | 'delete';

/** A successful response of a route. */
export interface Reply {
  readonly about: string;
  /** Schema of the JSON body; null without a body. */
  readonly schema: z.ZodType | null;
  /** Default: `application/json`. */
  readonly type?: string;
  /** The schemas of the `data` of its events, by their name. */
  readonly events?: Readonly<Record<string, z.ZodType>>;
  /** A second type, of a stream of text, for callers that accept it. */
  readonly streams?: string;
  /** Descriptions of additional headers, by name. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The single definition of a route: router, validation and OpenAPI document derive from it. */
export interface Route {
  readonly method: Method;
  /** Relative to `/api/v1`, in OpenAPI syntax: `/tasks/{id}`. */
  readonly path: string;
  /** The minimum role. */
  readonly role: Role;
  /** Whether the bearer of an item token may use the route. Default false. */
  readonly itemTokens?: true;
  /** The `operationId` in the OpenAPI document. */
  readonly operation: string;
  readonly summary: string;
  readonly description?: string;
  readonly params: z.ZodObject | null;
  readonly query: z.ZodObject;
  readonly headers: z.ZodObject | null;
  /** An empty body counts as `{}`. Null: the route ignores the body. */
  readonly body: z.ZodType | null;
  readonly replies: Readonly<Record<number, Reply>>;
  /** Errors specific to the route. */
  readonly errors: readonly ErrorCode[];
  /** The audit subject of a write; null for reads. */
  readonly audit: ((call: AnyCall) => AuditSubject) | null;
  readonly handle: (call: AnyCall) => Promise<Answer | null>;
}

/** A validated request, as passed to a handler. */
export interface Call<Params, Query, Headers, Body> {
  readonly api: ApiContext;
  readonly principal: Principal;
  readonly params: Params;
  readonly query: Query;
  readonly headers: Headers;
  readonly body: Body;
  readonly req: Request;
  readonly res: Response;
}

// oxlint-disable-next-line typescript/no-explicit-any -- a list of routes has handlers of all kinds of calls
type AnyCall = Call<any, any, any, any>;

/** A handler's response; handlers that respond themselves return null. */
export interface Answer {
  readonly status: number;
  /** Sent as JSON; undefined for none. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** A short outcome for the audit. */
  readonly outcome?: string;
}

type Parsed<Schema> = Schema extends z.ZodType ? z.output<Schema> : Record<string, never>;

interface RouteOptions<Params, Query, Headers, Body> extends Omit<
  Route,
  'params' | 'query' | 'headers' | 'body' | 'audit' | 'handle' | 'errors'
> {
  readonly params?: Params;
  readonly query?: Query;
  readonly headers?: Headers;
  readonly body?: Body;
  readonly errors?: readonly ErrorCode[];
  readonly audit?: (call: Call<Parsed<Params>, Parsed<Query>, Parsed<Headers>, Parsed<Body>>) => AuditSubject;
  readonly handle: (call: Call<Parsed<Params>, Parsed<Query>, Parsed<Headers>, Parsed<Body>>) => Promise<Answer | null>;
}

const NO_QUERY = z.strictObject({});

export function defineRoute<
  Params extends z.ZodObject | undefined = undefined,
  Query extends z.ZodObject | undefined = undefined,
  Headers extends z.ZodObject | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
>({ params, query, headers, body, audit: subjectOf, errors = [], ...rest }: RouteOptions<Params, Query, Headers, Body>): Route {
  return {
    ...rest,
    params: params ?? null,
    query: query ?? NO_QUERY,
    headers: headers ?? null,
    body: body ?? null,
    audit: subjectOf ?? null,
    errors,
  };
}
