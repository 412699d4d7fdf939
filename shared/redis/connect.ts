import { Redis, type RedisOptions } from 'ioredis';
import { FleetError } from '../errors.js';
import type { Logger } from '../logger.js';
import { type Settings, redactUrl } from '../settings.js';

/**
 * What a connection does while Redis is away.
 * - `fail-fast`, for producers: nothing is queued; a command fails at once, one in flight after a failed reconnect.
 * - `wait`, for workers: commands wait, however long it takes, and are sent after the reconnect.
 */
export type ConnectionPolicy = 'fail-fast' | 'wait';

export interface ConnectOptions {
  readonly settings: Settings & { readonly redisUrl: string };
  readonly policy: ConnectionPolicy;
  readonly logger: Logger;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  /** Connect with the first command. Default false. */
  readonly lazy?: boolean;
  /** Send a command again that had no answer when the connection was lost. Default true; else it fails. */
  readonly resend?: boolean;
}

const LONGEST_RECONNECT_DELAY_MS = 2_000;
const DISCONNECT_TIMEOUT_MS = 100;
/** A connection that owes an answer for longer is dead. Longer than BullMQ's longest blocking read, 10 s. */
const WAITING_SOCKET_TIMEOUT_MS = 15_000;
const FAST_SOCKET_TIMEOUT_MS = 5_000;

/** Opens a connection. It reconnects for ever; losing and regaining Redis is logged once each. */
export function connect({ settings, policy, logger, name, lazy = false, resend = true }: ConnectOptions): Redis {
  const waits = policy === 'wait';
  const options = {
    lazyConnect: lazy,
    connectionName: name,
    connectTimeout: settings.connectTimeoutMs,
    // ioredis sets this timer, 2 s by default, also for a stream that has closed already: it would keep the process.
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    keepAlive: settings.keepAlive ? 30_000 : 0,
    // RESP2: the shape of a reply does not depend on the server's version.
    protocol: 2 as const,
    enableOfflineQueue: waits,
    // Whoever subscribes does it again by itself. ioredis would do it too, and leave a refusal to end the process.
    autoResubscribe: false,
    // With 0, not with autoResendUnfulfilledCommands: that leaves the promise of such a command open for ever.
    maxRetriesPerRequest: resend ? (waits ? null : 1) : 0,
    socketTimeout: waits ? WAITING_SOCKET_TIMEOUT_MS : FAST_SOCKET_TIMEOUT_MS,
    retryStrategy: (times) => Math.min(settings.reconnectDelayMs * 2 ** Math.min(times - 1, 16), LONGEST_RECONNECT_DELAY_MS),
    // After a failover the old master answers READONLY: reconnect, and send the command again.
    reconnectOnError: (error): 2 | false => (error.message.startsWith('READONLY') ? 2 : false),
  } satisfies RedisOptions;
  const redis = new Redis(settings.redisUrl, options);
  logConnection(redis, logger, redactUrl(settings.redisUrl));
  return redis;
}

function logConnection(redis: Redis, logger: Logger, url: string): void {
  let lost = false;
  redis.on('error', (error: Error) => {
    if (!lost) logger.warn({ url, error: error.message }, 'Redis connection lost, reconnecting');
    lost = true;
  });
  redis.on('ready', () => {
    if (lost) logger.info({ url }, 'Redis connection restored');
    lost = false;
  });
}

/**
 * Resolves when a connection can take commands.
 * @throws FleetError `REDIS_UNAVAILABLE` after `timeoutMs`, with the last connection error.
 */
export async function ready(redis: Redis, timeoutMs: number): Promise<void> {
  if (redis.status === 'ready') return;
  if (redis.status === 'end') throw unavailable(redis, new Error('the connection was closed'));
  if (redis.status === 'wait') redis.connect().catch(() => undefined); // its error arrives as an event
  await new Promise<void>((resolve, reject) => {
    let last: Error | undefined;
    const finish = (error?: FleetError): void => {
      clearTimeout(timer);
      redis.off('ready', onReady).off('error', onError).off('end', onEnd);
      if (error) reject(error);
      else resolve();
    };
    const onReady = (): void => finish();
    const onError = (error: Error): void => {
      last = error;
    };
    const onEnd = (): void => finish(unavailable(redis, last ?? new Error('the connection was closed')));
    const timer = setTimeout(() => finish(unavailable(redis, last ?? new Error(`no connection within ${timeoutMs} ms`))), timeoutMs);
    redis.on('ready', onReady).on('error', onError).on('end', onEnd);
  });
}

/** Closes a connection for good. Commands without an answer fail. */
export function hangUp(redis: Redis): void {
  const betweenAttempts = redis.status === 'reconnecting';
  redis.disconnect();
  // In this state ioredis only forgets its next attempt, and would leave the promises of these commands open for ever.
  if (betweenAttempts) redis['flushQueue'](new Error(CONNECTION_CLOSED_TEXT));
}

/** What is thrown to callers when Redis cannot be reached. */
export function unavailable(redis: Redis, cause: unknown): FleetError {
  const { host, port } = redis.options;
  const why = cause instanceof Error ? cause.message || (cause as NodeJS.ErrnoException).code || cause.name : String(cause);
  return new FleetError('REDIS_UNAVAILABLE', `Redis at ${host}:${port} cannot be reached: ${why}`, { cause });
}

/**
 * Turns the failure of a command that got no answer into `REDIS_UNAVAILABLE`; every other error passes as it is, among
 * them what Redis itself answered (wrong type, out of memory, a script's error).
 */
export function asUnavailable(redis: Redis, error: unknown): unknown {
  return isConnectionError(error) ? unavailable(redis, error) : error;
}

const CONNECTION_CLOSED_TEXT = 'Connection is closed.';
/** ioredis gives most of these neither a class nor a code; `test/shared/connect.test.ts` holds the texts to its version. */
const CONNECTION_ERROR_TEXTS = [
  CONNECTION_CLOSED_TEXT,
  "Stream isn't writeable and enableOfflineQueue options is false",
  'Command timed out',
  'Command aborted due to connection close',
  'Socket timeout',
  'connect ETIMEDOUT',
];

export function isConnectionError(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof FleetError || error.name === 'ReplyError') return false;
  if (error.name === 'MaxRetriesPerRequestError') return true;
  if ('syscall' in error) return true;
  return CONNECTION_ERROR_TEXTS.some((text) => error.message.startsWith(text));
}
