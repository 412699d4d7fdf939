import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type ROUTES as Routes, ROUTES } from '../../../dashboard/api/api.js';
import { problem } from '../../../dashboard/api/schemas/problem.js';
import type { Principal } from '../../../dashboard/auth/principal.js';
import { type Dashboard, type DashboardConfig, createDashboard } from '../../../dashboard/dashboard.js';
import type { ErrorCode } from '../../../shared/errors.js';
import { statusOf } from '../../../shared/http-status.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';

export interface Sent {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; undefined if it is not JSON. */
  readonly body: unknown;
}

export interface SendOptions {
  /** The caller, one of `PRINCIPALS`. Default `admin`. */
  readonly as?: keyof typeof PRINCIPALS;
  /** Sent as JSON; `text` is sent unchanged. */
  readonly json?: unknown;
  readonly text?: string | Buffer;
  /** Sends the body in chunks, without its length. Default false. */
  readonly chunked?: boolean;
  readonly headers?: OutgoingHttpHeaders;
}

export interface ServedApi {
  readonly port: number;
  readonly dashboard: Dashboard;
  /** The dashboard's log lines. */
  readonly logged: readonly string[];
  /** Sends a request below `/api/v1` and checks the answer against the route's definition. */
  send(method: string, path: string, options?: SendOptions): Promise<Sent>;
  close(): Promise<void>;
}

const via = 'token';

/** The callers of the tests. `guest`, `owner` and `steward` see items that begin with `mine`. */
export const PRINCIPALS = {
  admin: { name: 'admin', role: 'admin', items: null, via },
  operator: { name: 'operator', role: 'operator', items: null, via },
  submitter: { name: 'submitter', role: 'submitter', items: null, via },
  viewer: { name: 'viewer', role: 'viewer', items: null, via },
  owner: { name: 'owner', role: 'submitter', items: ['mine*'], via },
  guest: { name: 'guest', role: 'viewer', items: ['mine*'], via },
  steward: { name: 'steward', role: 'operator', items: ['mine*'], via },
} as const satisfies Record<string, Principal>;

/** Serves a dashboard on loopback, without an app. */
export async function serveApi(config: Omit<DashboardConfig, 'auth'>): Promise<ServedApi> {
  const logged: string[] = [];
  const loggers = createLoggerFactory({
    settings: resolveSettings({ logLevel: 'warn' }),
    destination: { write: (line) => void logged.push(line) },
  });
  const auth = (req: IncomingMessage): Principal => PRINCIPALS[(req.headers['x-as'] ?? 'admin') as keyof typeof PRINCIPALS];
  const dashboard = createDashboard({ loggers, ...config, auth });
  const server = createServer((req, res) => dashboard.router(req, res, () => res.writeHead(404).end()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ...{ port, dashboard, logged },
    send: (method, path, options) => send(port, method, `/api/v1${path}`, options),
    close: async () => {
      await dashboard.close();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Sends a request with exactly this path and reads the whole answer. */
export async function send(
  port: number,
  method: string,
  path: string,
  { as = 'admin', json, text: raw, chunked = false, headers = {} }: SendOptions = {},
): Promise<Sent> {
  const body = json === undefined ? raw : JSON.stringify(json);
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  const length = chunked ? { 'transfer-encoding': 'chunked' } : body !== undefined && { 'content-length': Buffer.byteLength(body) };
  const outgoing = request({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent: false,
    headers: { 'x-as': as, ...type, ...length, ...headers },
  });
  outgoing.end(body);
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const got = await text(response);
  const sent = { status: response.statusCode ?? 0, headers: response.headers, text: got, body: parse(got) };
  if (path.startsWith('/api/v1/')) checkAnswer(method, path, sent);
  return sent;
}

/** Asserts that the route's definition has the answer's status, body schema and error code. */
export function checkAnswer(method: string, path: string, { status, headers, body, text: got }: Sent): void {
  assert.ok(status < 500 || status === 503, `${method} ${path}: ${status} ${got}`);
  assert.equal(typeof headers['x-request-id'], 'string');
  const route = routeOf(method, path);
  if (method === 'HEAD') {
    assert.equal(got, '');
    return;
  }
  if (status < 400) {
    const reply = route?.replies[status];
    assert.ok(reply || status === 204, `${method} ${path}: ${status} is not described`);
    if (reply?.schema && !reply.type) assert.deepEqual(reply.schema.safeParse(body).error?.issues ?? [], [], got);
    for (const name of Object.keys(reply?.headers ?? {})) assert.ok(headers[name.toLowerCase()], `no ${name}`);
    return;
  }
  assert.equal(headers['content-type'], 'application/problem+json');
  const parsed = problem.parse(body);
  assert.equal(parsed.status, status);
  assert.equal(parsed.code === 'INTERNAL_ERROR' ? 500 : statusOf(parsed.code), status);
  if (route) assert.ok(described(route).has(parsed.code as ErrorCode), `${method} ${path}: ${parsed.code} is not described`);
}

const ALWAYS: readonly ErrorCode[] = [
  'BAD_REQUEST',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'TOO_MANY_REQUESTS',
  'REDIS_UNAVAILABLE',
  'REDIS_WRONG_TYPE',
  'REDIS_ERROR',
  'CLOSED',
];
const OF_BODY: readonly ErrorCode[] = ['REQUEST_TIMEOUT', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'];

function described({ errors, body }: (typeof Routes)[number]): ReadonlySet<ErrorCode> {
  return new Set([...ALWAYS, ...(body ? OF_BODY : []), ...errors]);
}

function routeOf(method: string, path: string): (typeof Routes)[number] | undefined {
  const bare = path.replace(/^\/api\/v1/, '').replace(/\?.*$/s, '');
  const known = method === 'HEAD' ? 'get' : method.toLowerCase();
  return ROUTES.find((route) => route.method === known && new RegExp(`^${route.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(bare));
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
