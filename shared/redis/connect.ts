import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { FleetError } from '../errors.js';
import type { Logger } from '../log/logger.js';
import { afterTurning } from '../time.js';
import { batchWrites } from './batched-writes.js';
import { CONNECTION_CLOSED_TEXT, unavailable } from './connection-errors.js';
import { endOnce, failSent, failUnanswered, logConnection, readBeforeTimeout } from './connection-watch.js';
import { type RedisConnection, isCluster, nameConnection } from './connection.js';
import { parseRedisUrl } from './redis-url.js';
import { databaseRefusal, requireDatabase, textRefusedWith } from './reply-errors.js';
import { encodeScriptsAtOnce } from './script-encoding.js';
import { type Address, type ConnectedSettings, type Topology, describeTopology, parseAddress, tlsOf, topologyOf } from './topology.js';

/**
 * How a connection behaves while Redis is unavailable.
 * - `fail-fast`, for producers: new commands fail at once, commands in flight after REDIS_SENTINEL_MAX_RETRY_COUNT reconnects.
 * - `wait`, for workers: commands are queued until the connection is restored.
 */
export type ConnectionPolicy = 'fail-fast' | 'wait';

export interface ConnectOptions {
  readonly settings: ConnectedSettings;
  readonly policy: ConnectionPolicy;
  readonly logger: Logger;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  /** Connect with the first command. Default false. */
  readonly lazy?: boolean;
  /** Whether to resend commands that were unanswered when the connection was lost, or to fail them. Default true. */
  readonly resend?: boolean;
}

const SHORTEST_RECONNECT_DELAY_MS = 1;
const LONGEST_RECONNECT_DELAY_MS = 1_000;
const DISCONNECT_TIMEOUT_MS = 100;
const SENTINEL_TIMEOUT_MS = 2_000;
/** A connection without an answer for this long is dead. Longer than BullMQ's longest blocking read, 10 s. */
const WAITING_SOCKET_TIMEOUT_MS = 12_000;
const FAST_SOCKET_TIMEOUT_MS = 5_000;
const READONLY = textRefusedWith('READONLY');
/** While a cluster elects a new master, a command is retried for 20 s, longer than an election takes. */
const REDIRECTIONS = {
  maxRedirections: 100,
  retryDelayOnFailover: 200,
  retryDelayOnClusterDown: 200,
  retryDelayOnMoved: 100,
  retryDelayOnTryAgain: 100,
  slotsRefreshTimeout: 2_000,
};

/**
 * Opens a connection to Redis in any topology. It reconnects forever, and logs each loss and each recovery once.
 * @throws FleetError `INVALID_SETTINGS` for a certificate that cannot be read
 */
export function connect(options: ConnectOptions): RedisConnection {
  const { settings, logger } = options;
  const topology = topologyOf(settings);
  const redis = topology.kind === 'cluster' ? openCluster(topology, options) : openServer(topology, options);
  // Duplicates must not be lazy: BullMQ would call connect() on the duplicate for its blocking reads and give up if that first
  // attempt fails. A worker started while Redis is unavailable would never be ready.
  redis.options.lazyConnect = false;
  if (!isCluster(redis)) {
    failUnanswered(redis);
    endOnce(redis);
    readBeforeTimeout(redis);
    requireDatabase(redis);
  }
  batchWrites(redis);
  encodeScriptsAtOnce(redis);
  nameConnection(redis, describeTopology(topology));
  logConnection(redis, logger, describeTopology(topology));
  return redis;
}

/** Returns the options of a connection to a single server, in any topology. */
export function serverOptions({ settings, policy, name, resend = true }: Omit<ConnectOptions, 'logger' | 'lazy'>) {
  const waits = policy === 'wait';
  const tls = tlsOf(settings);
  return {
    ...urlOptions(settings.redisUrl),
    ...(tls && { tls }),
    connectionName: name,
    connectTimeout: settings.connectTimeoutMs,
    // ioredis sets this timer, 2 s by default, even for a closed stream: it would keep the process alive.
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    keepAlive: settings.keepAlive ? 30_000 : 0,
    // RESP2: the shape of a reply does not depend on the server's version.
    protocol: 2 as const,
    // Subscribers resubscribe themselves: if Redis refused ioredis' own attempt, the unhandled error would end the process.
    autoResubscribe: false,
    // 0 instead of autoResendUnfulfilledCommands, which would never settle the promise of such a command.
    maxRetriesPerRequest: resend ? (waits ? null : settings.maxRetries) : 0,
    socketTimeout: waits ? WAITING_SOCKET_TIMEOUT_MS : FAST_SOCKET_TIMEOUT_MS,
  } satisfies RedisOptions;
}

/** Returns the reconnect options of a connection to one server, or to its successor. */
export function reconnecting(settings: ConnectedSettings) {
  return {
    retryStrategy: (times: number) => reconnectDelay(settings, times),
    // After a failover the old master answers READONLY: 2 means reconnect and resend the command.
    reconnectOnError: (error: Error): 2 | false => (READONLY.test(error.message) ? 2 : false),
  } satisfies RedisOptions;
}

export function reconnectDelay({ reconnectDelayMs }: ConnectedSettings, times: number): number {
  return Math.min(Math.max(reconnectDelayMs, SHORTEST_RECONNECT_DELAY_MS) * 2 ** Math.min(times - 1, 16), LONGEST_RECONNECT_DELAY_MS);
}

function openServer(topology: Exclude<Topology, { kind: 'cluster' }>, options: ConnectOptions): Redis {
  const { settings, policy, lazy = false } = options;
  const shared = { ...serverOptions(options), ...reconnecting(settings), lazyConnect: lazy, enableOfflineQueue: policy === 'wait' };
  if (topology.kind === 'standalone') return new Redis({ ...topology.address, ...shared });
  const { sentinelUsername, sentinelPassword, connectTimeoutMs } = settings;
  return new Redis({
    ...shared,
    name: topology.service,
    sentinels: topology.sentinels.map(({ host, port }) => ({ host, port })),
    ...(sentinelUsername !== null && { sentinelUsername }),
    ...(sentinelPassword !== null && { sentinelPassword }),
    ...('tls' in shared && { enableTLSForSentinelMode: true, sentinelTLS: shared.tls }),
    // A sentinel that is cut off from the others, or accepts connections and does not answer, must not delay the rest.
    sentinelCommandTimeout: Math.min(connectTimeoutMs, SENTINEL_TIMEOUT_MS),
    sentinelReconnectStrategy: () => null,
    sentinelRetryStrategy: (times) => reconnectDelay(settings, times),
  });
}

function openCluster({ nodes }: Extract<Topology, { kind: 'cluster' }>, options: ConnectOptions): Cluster {
  const { settings, policy, lazy = false, resend = true } = options;
  const clusterOptions = {
    ...REDIRECTIONS,
    ...(!resend && { retryDelayOnFailover: 0 }),
    redisOptions: serverOptions(options),
    lazyConnect: lazy,
    enableOfflineQueue: policy === 'wait',
    clusterRetryStrategy: (times: number) => reconnectDelay(settings, times),
    natMap: natMapOf(settings),
    // Keep host names unresolved: TLS checks them against the certificate.
    dnsLookup: (host: string, callback: (error: null, address: string) => void) => callback(null, host),
  } satisfies ClusterOptions;
  return new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    clusterOptions,
  );
}

function natMapOf({ clusterNatMap }: ConnectedSettings): Record<string, Address> {
  return Object.fromEntries(
    clusterNatMap.map((pair) => {
      const [from = '', to = ''] = pair.split('=');
      return [from, parseAddress(to, 0)];
    }),
  );
}

/** Returns the options in the URL besides the address. ioredis does not get the URL itself: its query could set any option. */
function urlOptions(redisUrl: string): Pick<RedisOptions, 'username' | 'password' | 'db' | 'family'> {
  const { username, password, database, family } = parseRedisUrl(redisUrl);
  return {
    ...(username && { username }),
    ...(password && { password }),
    ...(database > 0 && { db: database }),
    ...(family > 0 && { family }),
  };
}

/**
 * Waits until a connection is ready.
 * @param timeoutMs Infinity for no timeout
 * @throws FleetError `REDIS_UNAVAILABLE` after `timeoutMs`, with the last connection error; at once if Redis refuses the
 *   URL's database, with `INVALID_SETTINGS` if that does not exist
 */
export async function ready(redis: RedisConnection, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  if (redis.status === 'end') throw unavailable(redis, new Error('the connection was closed'));
  if (redis.status === 'wait') redis.connect().catch(() => undefined); // its error arrives as an event
  await new Promise<void>((resolve, reject) => {
    let last: Error | undefined;
    const finish = (error?: FleetError): void => {
      cancel();
      redis.off('ready', onReady).off('error', onError).off('node error', onError).off('end', onEnd);
      if (error) reject(error);
      else resolve();
    };
    const onReady = (): void => finish();
    const onError = (error: Error): void => {
      last = error;
      if (databaseRefusal(redis)) finish(unavailable(redis, error));
    };
    const onEnd = (): void => finish(unavailable(redis, last ?? new Error('the connection was closed')));
    const onTimeout = (): void => finish(unavailable(redis, last ?? new Error(`no connection within ${timeoutMs} ms`)));
    // A caller may block the process while it connects, for example by many enqueues at once.
    const cancel = timeoutMs === Infinity ? () => undefined : afterTurning(timeoutMs, onTimeout);
    redis.on('ready', onReady).on('error', onError).on('node error', onError).on('end', onEnd);
  });
}

/** Closes a connection for good. Unanswered commands fail, at once or, if the connection was ready, when it has closed. */
export function hangUp(redis: RedisConnection): void {
  if (isCluster(redis)) return hangUpCluster(redis);
  const wasReady = redis.status === 'ready';
  redis.disconnect();
  if (wasReady) return;
  // Between attempts, or while it queries sentinels, ioredis itself would leave the commands pending.
  redis['flushQueue'](new Error(CONNECTION_CLOSED_TEXT));
  failSent(redis, CONNECTION_CLOSED_TEXT);
}

function hangUpCluster(cluster: Cluster): void {
  if (cluster.status === 'end') return;
  cluster.once('end', () => failDelayed(cluster));
  const isEmpty = cluster.nodes().length === 0;
  cluster.disconnect();
  // ioredis emits 'end' with the connection to the last node: without nodes, never, and pending commands would never settle.
  if (isEmpty) cluster['setStatus']('end');
}

/** Fails the commands that wait to be retried. */
function failDelayed(cluster: Cluster): void {
  const { queues, timeouts } = cluster['delayQueue'] as unknown as {
    queues: Record<string, unknown>;
    timeouts: Record<string, NodeJS.Timeout | null>;
  };
  for (const timeout of Object.values(timeouts)) if (timeout) clearTimeout(timeout);
  for (const bucket of Object.keys(queues)) cluster['delayQueue'].execute(bucket);
  cluster['flushQueue'](new Error(CONNECTION_CLOSED_TEXT));
}
