import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Producer } from '../producer/index.js';
import { FleetError } from '../shared/errors.js';
import type { LoggerFactory } from '../shared/logger.js';
import { Service } from '../shared/service.js';
import type { Settings } from '../shared/settings.js';
import { auditRefusals } from './auth/audit.js';
import { Authority } from './auth/authority.js';
import { limitConnections } from './connection-limit.js';
import { type Dashboard, type DashboardConfig, createDashboard } from './dashboard.js';
import { problemHandler } from './problem.js';

export interface DashboardServerOptions extends Pick<DashboardConfig, 'definitions'> {
  /** With `apiHost`, `apiPort`, and how callers are known. */
  readonly settings: Settings;
  /** Stays the caller's. */
  readonly producer: Producer;
  readonly loggers: LoggerFactory;
  /** Take the next free port if that of the settings is taken, of the twenty behind it. Default false. */
  readonly nextFreePort?: boolean;
  /** For tests. */
  readonly timeouts?: Partial<Timeouts>;
}

/** In ms. */
interface Timeouts {
  /** From the connection to the last header. */
  readonly headersMs: number;
  /** From the connection to the end of the body. */
  readonly requestMs: number;
  /** How often the two above are looked at. */
  readonly checkMs: number;
}

const TIMEOUTS: Timeouts = { headersMs: 10_000, requestMs: 60_000, checkMs: 2_000 };
const KEEP_ALIVE_MS = 30_000;
const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 4_096;
const SWEEP_MS = 20;
const PORTS_TO_TRY = 21;
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/;

/**
 * The HTTP server around the dashboard. Without tokens and JWTs it listens on loopback only, for this machine only. Stopping it
 * ends event streams at once and lets other requests end, until SHUTDOWN_TIMEOUT_MS.
 */
export class DashboardServer extends Service {
  readonly #options: DashboardServerOptions;
  #dashboard: Dashboard | null = null;
  #server: Server | null = null;
  #url: string | null = null;

  constructor(options: DashboardServerOptions) {
    super();
    this.#options = options;
  }

  /** Where it listens, `http://127.0.0.1:8420`. @throws if it has not started */
  get url(): string {
    if (this.#url === null) throw new Error('The dashboard has not started.');
    return this.#url;
  }

  /** @throws FleetError `INVALID_SETTINGS`: bad tokens or JWT settings, an address for others without either, a port that is taken */
  protected async onStart(): Promise<void> {
    const { settings, producer, loggers, definitions } = this.#options;
    const open = Authority.of(settings) === null;
    if (open) checkLoopback(settings.apiHost);
    const dashboard = createDashboard({
      producer,
      auth: open ? 'local' : settings,
      loggers,
      bodyLimit: settings.apiBodyLimit,
      ...(definitions && { definitions }),
    });
    this.#dashboard = dashboard;
    const server = this.#createServer(dashboard);
    this.#server = server;
    await this.#listen(server);
    const { port } = server.address() as AddressInfo;
    this.#url = `http://${settings.apiHost.includes(':') ? `[${settings.apiHost}]` : settings.apiHost}:${port}`;
    const logger = loggers('dashboard');
    logger.info({ url: this.#url }, 'Dashboard listens');
    if (open) logger.warn('No API_TOKENS and no JWTs: whoever uses this machine may do everything here, and nobody else gets in');
  }

  protected async onStop(): Promise<void> {
    const server = this.#server;
    if (server?.listening) {
      const closed = once(server, 'close');
      server.close();
      await this.#dashboard?.close();
      // A connection is idle once its request or stream has ended, and would be kept for the next one.
      const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
      const timer = setTimeout(() => server.closeAllConnections(), this.#options.settings.shutdownTimeoutMs);
      await closed;
      clearInterval(sweep);
      clearTimeout(timer);
    } else await this.#dashboard?.close();
  }

  #createServer({ router }: Dashboard): Server {
    const { settings, loggers, timeouts } = this.#options;
    const { headersMs, requestMs, checkMs } = { ...TIMEOUTS, ...timeouts };
    const app = express().disable('x-powered-by').disable('etag');
    app.set('trust proxy', trustedProxies(settings.apiTrustProxy));
    app.use(router, (_req, _res, next) => next(new FleetError('NOT_FOUND', 'There is nothing at this path.')));
    app.use(auditRefusals(), problemHandler(loggers('dashboard')));
    const server = createServer(
      {
        headersTimeout: headersMs,
        requestTimeout: requestMs,
        connectionsCheckingInterval: checkMs,
        keepAliveTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      app,
    );
    server.maxConnections = MAX_CONNECTIONS;
    const isTrusted = app.get('trust proxy fn') as (address: string, hop: number) => boolean;
    limitConnections(server, {
      perAddress: settings.apiConnectionLimit,
      isProxy: (address) => isTrusted(address, 0),
      logger: loggers('dashboard'),
    });
    return server;
  }

  async #listen(server: Server): Promise<void> {
    const { settings, nextFreePort = false } = this.#options;
    const { apiHost: host, apiPort } = settings;
    const ports = Array.from({ length: nextFreePort && apiPort !== 0 ? PORTS_TO_TRY : 1 }, (_, offset) => apiPort + offset).filter(
      (port) => port <= 65_535,
    );
    for (const port of ports) {
      server.listen(port, host);
      const error = await once(server, 'listening').then(
        () => null,
        (reason: unknown) => reason as NodeJS.ErrnoException,
      );
      if (error === null) return;
      if (error.code !== 'EADDRINUSE' || port === ports.at(-1)) throw cannotListen(error, host, port);
    }
  }
}

function checkLoopback(host: string): void {
  if (LOOPBACK.test(host)) return;
  throw new FleetError(
    'INVALID_SETTINGS',
    `API_HOST: without tokens and JWTs the dashboard listens on loopback only, got ${host}. Set API_TOKENS (\`taskfleet token create --name N --role R\` makes an entry) or API_JWT_ISSUER, API_JWT_AUDIENCE and API_JWT_JWKS_URL.`,
  );
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): FleetError {
  const inUse = `API_PORT: expected a free port, got ${port}, which another program has`;
  const other = `API_HOST, API_PORT: the dashboard cannot listen on ${host}, port ${port}: ${error.message}`;
  return new FleetError('INVALID_SETTINGS', `${error.code === 'EADDRINUSE' ? inUse : other}.`, { cause: error });
}

/** As Express takes it: how many proxies, or who they are; false for none. */
function trustedProxies(setting: readonly string[]): number | string[] | false {
  if (setting.length === 0) return false;
  const [first = ''] = setting;
  return setting.length === 1 && /^\d+$/.test(first) ? Number(first) : [...setting];
}
