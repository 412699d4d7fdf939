import { once } from 'node:events';
import { type IncomingHttpHeaders, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { entryOf, newToken } from '../../dashboard/auth/tokens.js';
import type { Role } from '../../dashboard/index.js';
import { DashboardServer, type DashboardServerOptions, type Timeouts } from '../../dashboard/server.js';
import type { Producer } from '../../producer/index.js';
import { type SettingsInput, resolveSettings } from '../../shared/settings/settings.js';
import { LogLines } from '../support/fleet/log-lines.js';

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; undefined if it is not JSON. */
  readonly body: unknown;
}

export interface SendOptions {
  readonly headers?: OutgoingHttpHeaders;
  /** Sent as a bearer token. */
  readonly token?: string;
  /** An object is sent as JSON. */
  readonly body?: string | Readonly<Record<string, unknown>> | undefined;
}

/** One token per role that sees everything, and three that see only the items of alice. */
const WHO: Readonly<Record<string, { role: Role; items: readonly string[] | null }>> = {
  viewer: { role: 'viewer', items: null },
  submitter: { role: 'submitter', items: null },
  operator: { role: 'operator', items: null },
  admin: { role: 'admin', items: null },
  'alice-viewer': { role: 'viewer', items: ['alice:*'] },
  'alice-submitter': { role: 'submitter', items: ['alice:*'] },
  'alice-operator': { role: 'operator', items: ['alice:*'] },
};

export type Who = 'viewer' | 'submitter' | 'operator' | 'admin' | 'alice-viewer' | 'alice-submitter' | 'alice-operator';

/** A DashboardServer on loopback, with tokens. */
export class TestDashboard {
  private constructor(
    readonly server: DashboardServer,
    readonly tokens: Readonly<Record<Who, string>>,
    readonly log: LogLines,
  ) {}

  /** Starts with tokens, unless the settings have `apiTokens: []`, and with high limits by default. */
  static async start(
    producer: Producer,
    settings: SettingsInput = {},
    options: Partial<DashboardServerOptions> = {},
    timeouts?: Timeouts,
  ): Promise<TestDashboard> {
    const tokens = Object.fromEntries(Object.keys(WHO).map((name) => [name, newToken()])) as Record<Who, string>;
    const apiTokens = Object.entries(WHO).map(([name, { role, items }]) => entryOf(tokens[name as Who], { name, role, items }));
    const log = new LogLines();
    const all = resolveSettings({
      apiTokens,
      apiPort: 0,
      apiRateLimit: 1_000_000,
      apiFailureLimit: 1_000_000,
      shutdownTimeoutMs: 2_000,
      ...settings,
    });
    const server = new DashboardServer({ settings: all, producer, loggers: log.loggers, ...options }, timeouts);
    await server.start();
    return new TestDashboard(server, tokens, log);
  }

  get url(): string {
    return this.server.url;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** Sends a request with exactly this path and these headers; `fetch` would normalize both. */
  async send(method: string, path: string, { headers = {}, token, body }: SendOptions = {}): Promise<Reply> {
    const content = typeof body === 'object' ? JSON.stringify(body) : body;
    const own: OutgoingHttpHeaders = {
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...(typeof body === 'object' && { 'Content-Type': 'application/json' }),
      ...(content !== undefined && { 'Content-Length': Buffer.byteLength(content) }),
    };
    const outgoing = request({ host: '127.0.0.1', port: this.port, method, path, agent: false, headers: { ...own, ...headers } });
    outgoing.end(content);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    const got = await text(response);
    return { status: response.statusCode ?? 0, headers: response.headers, text: got, body: parse(got) };
  }

  /** Signs in as a browser does; returns the reply, the Cookie header and the CSRF token. */
  async signIn(
    token: string,
    headers: OutgoingHttpHeaders = {},
  ): Promise<{ readonly reply: Reply; readonly cookie: string; readonly csrf: string }> {
    const reply = await this.send('POST', '/sign-in', {
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams({ token }).toString(),
    });
    const cookie = (reply.headers['set-cookie'] ?? []).map((one) => one.split(';')[0]).join('; ');
    const csrf = /XSRF-TOKEN=([\w-]+)/.exec(cookie)?.[1] ?? '';
    return { reply, cookie, csrf };
  }

  stop(): Promise<void> {
    return this.server.stop();
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
