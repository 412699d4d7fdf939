import type { Request, Response } from 'express';
import { z } from 'zod';
import type { ErrorCode } from '../../shared/errors.js';
import type { Principal, Role } from '../auth/principal.js';
import type { AuditSubject } from './audited.js';
import type { ApiContext } from './context.js';

export type Method = 'get' | 'post' | 'put' | 'delete';

/** What a route answers if it is well, by status. */
export interface Reply {
  readonly about: string;
  /** Of the JSON body; null if there is none. */
  readonly schema: z.ZodType | null;
  /** Default: `application/json`. */
  readonly type?: string;
  /** Headers beside the usual ones, with what each is. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One route, in one place: the router, the checks and the OpenAPI document are made of it. */
export interface Route {
  readonly method: Method;
  /** Below `/api/v1`, as OpenAPI writes it: `/tasks/{id}`. */
  readonly path: string;
  /** The least that a caller must be. */
  readonly role: Role;
  /** The name of the operation in the OpenAPI document. */
  readonly operation: string;
  readonly summary: string;
  readonly description?: string;
  readonly params: z.ZodObject | null;
  readonly query: z.ZodObject;
  readonly headers: z.ZodObject | null;
  /** An empty body counts as `{}`. Null: the route takes none, and does not read it. */
  readonly body: z.ZodType | null;
  readonly replies: Readonly<Record<number, Reply>>;
  /** What may go wrong, beside what may in every route. */
  readonly errors: readonly ErrorCode[];
  /** Of a write: what is recorded of it, beside its outcome. */
  readonly audit: ((call: AnyCall) => AuditSubject) | null;
  readonly handle: (call: AnyCall) => Promise<Answer | null>;
}

/** What a handler works with; all of it has been checked. */
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

/** What a handler answers; null if it has answered by itself. */
export interface Answer {
  readonly status: number;
  /** Sent as JSON; undefined for none. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** For the audit: in a word or two. */
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
>({ params, query, headers, body, audit, errors = [], ...rest }: RouteOptions<Params, Query, Headers, Body>): Route {
  return {
    ...rest,
    params: params ?? null,
    query: query ?? NO_QUERY,
    headers: headers ?? null,
    body: body ?? null,
    audit: audit ?? null,
    errors,
  };
}
