import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Producer } from '../producer/index.js';
import { FleetError } from '../shared/errors.js';
import { type Logger, type LoggerFactory, RepeatedLines } from '../shared/log/logger.js';
import { byHolderOf } from '../shared/process/port-holder.js';
import { Service } from '../shared/process/service.js';
import type { Settings } from '../shared/settings/settings.js';
import { Authority } from './auth/authority.js';
import { type Dashboard, type DashboardConfig, createDashboard } from './dashboard.js';
import { appOf } from './handler.js';
import { addressKey } from './http/request.js';

export interface DashboardServerOptions extends Pick<DashboardConfig, 'definitions'> {
  /** Includes `apiHost`, `apiPort` and the authentication settings. */
  readonly settings: Settings;
  /** Owned and closed by the caller. */
  readonly producer: Producer;
  readonly loggers: LoggerFactory;
  /** Tries the next twenty ports if the configured one is taken. Default false. */
  readonly nextFreePort?: boolean;
}

/** In ms. */
export interface Timeouts {
  /** Limit for receiving the headers, from the start of the connection. */
  readonly headersMs: number;
  /** Limit for receiving the whole request. */
  readonly requestMs: number;
  /** Interval at which both limits are enforced. */
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
 * The dashboard's HTTP server. Without tokens and JWTs it listens on loopback only. On stop it ends event streams at once and lets
 * other requests finish, up to SHUTDOWN_TIMEOUT_MS.
 */
export class DashboardServer extends Service {
  #dashboard: Dashboard | null = null;
  #server: Server | null = null;
  #url: string | null = null;

  constructor(
    private readonly options: DashboardServerOptions,
    private readonly timeouts: Timeouts = TIMEOUTS,
  ) {
    super();
  }

  /** The server's URL, such as `http://127.0.0.1:8420`. @throws before the start */
  get url(): string {
    if (this.#url === null) throw new Error('The dashboard has not started.');
    return this.#url;
  }

  /** @throws FleetError `INVALID_SETTINGS` for bad tokens or JWT settings, a public address without either, or a port in use */
  protected async onStart(): Promise<void> {
    const { settings, producer, loggers, definitions } = this.options;
    const open = Authority.of(settings) === null;
    if (open) checkLoopback(settings.apiHost);
    const dashboard = createDashboard({
      producer,
      auth: open ? 'local' : settings,
      loggers,
      bodyLimit: settings.apiBodyLimit,
      basePath: settings.apiBasePath,
      corsOrigins: settings.apiCorsOrigins,
      ...(definitions && { definitions }),
    });
    this.#dashboard = dashboard;
    const server = this.#createServer(dashboard);
    this.#server = server;
    await this.#listen(server);
    const { port } = server.address() as AddressInfo;
    this.#url = `http://${settings.apiHost.includes(':') ? `[${settings.apiHost}]` : settings.apiHost}:${port}`;
    const logger = loggers('dashboard');
    logger.info({ url: this.#url }, 'Dashboard listening');
    if (open) logger.warn('No API_TOKENS or JWTs configured: local users have full access, remote requests are refused');
  }

  protected async onStop(): Promise<void> {
    const server = this.#server;
    if (server?.listening) {
      const closed = once(server, 'close');
      server.close();
      await this.#dashboard?.close();
      // Connections become idle as their requests finish, and would be kept alive.
      const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS);
      const timer = setTimeout(() => server.closeAllConnections(), this.options.settings.shutdownTimeoutMs);
      await closed;
      clearInterval(sweep);
      clearTimeout(timer);
    } else await this.#dashboard?.close();
  }

  #createServer({ router }: Dashboard): Server {
    const { settings, loggers } = this.options;
    const { headersMs, requestMs, checkMs } = this.timeouts;
    const app = appOf(router, '', loggers('dashboard'), { trustProxy: settings.apiTrustProxy });
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
    const { settings, nextFreePort = false } = this.options;
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
      if (error.code !== 'EADDRINUSE' || port === ports.at(-1)) throw await cannotListen(error, host, apiPort, port);
    }
  }
}

interface ConnectionLimit {
  /** Maximum open connections per address. */
  readonly perAddress: number;
  /** Whether the address is a trusted proxy, which carries many clients and is exempt. */
  readonly isProxy: (address: string) => boolean;
  readonly logger: Logger;
}

/** Limits open connections per address, so that no client can use up the server's. */
function limitConnections(server: Server, { perAddress, isProxy, logger }: ConnectionLimit): void {
  const open = new Map<string, number>();
  const lines = new RepeatedLines(logger);
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: address } = socket;
    if (address === undefined || isProxy(address)) return;
    const key = addressKey(address);
    const count = (open.get(key) ?? 0) + 1;
    if (count > perAddress) {
      socket.destroy();
      lines.warn(key, { address, limit: perAddress }, 'Too many connections from one address; closing the new one');
      return;
    }
    open.set(key, count);
    socket.once('close', () => {
      const left = (open.get(key) ?? 1) - 1;
      if (left === 0) open.delete(key);
      else open.set(key, left);
    });
  });
}

function checkLoopback(host: string): void {
  if (LOOPBACK.test(host)) return;
  throw new FleetError(
    'INVALID_SETTINGS',
    `API_HOST: expected a loopback address without tokens or JWTs, got ${host}. ` +
      'Set API_TOKENS (`taskfleet token create --name N --role R` prints an entry) ' +
      'or API_JWT_ISSUER, API_JWT_AUDIENCE and API_JWT_JWKS_URL.',
  );
}

async function cannotListen(error: NodeJS.ErrnoException, host: string, first: number, port: number): Promise<FleetError> {
  const ports = first === port ? `${port} is` : `${first} to ${port} are`;
  const inUse = `API_PORT: expected a free port, but ${ports} in use${await byHolderOf(first)}`;
  const other = `API_HOST, API_PORT: cannot listen on ${host}, port ${port}: ${error.message}`;
  return new FleetError('INVALID_SETTINGS', `${error.code === 'EADDRINUSE' ? inUse : other}.`, { cause: error });
}
