import type { Cluster, Redis } from 'ioredis';
import type { Logger } from '../log/logger.js';
import { CONNECTION_CLOSED_TEXT, adviceFor, reasonOf, watchSentinels } from './connection-errors.js';
import { type RedisConnection, isCluster } from './connection.js';
import { formatAddress } from './topology.js';

/** How often the same advice is logged. */
const ADVISE_EVERY_MS = 60_000;

/**
 * Logs each loss and recovery of Redis, or of a cluster node, once; and advice where reconnecting cannot help.
 */
export function logConnection(redis: RedisConnection, logger: Logger, description: string): void {
  let lost = false;
  const advised = adviser(redis, logger, description);
  if (!isCluster(redis)) watchSentinels(redis);
  redis.on('error', (error: Error) => {
    if (!lost && !advised(error)) logger.warn({ redis: description, error: reasonOf(error) }, 'Redis connection lost, reconnecting');
    else if (lost) advised(error);
    lost = true;
  });
  redis.on('ready', () => {
    if (lost) logger.info({ redis: description }, 'Redis connection restored');
    lost = false;
  });
  if (isCluster(redis)) logNodes(redis, logger);
  else adviseOnReplies(redis, advised);
}

/** Returns a function that logs advice for an error, at intervals, and returns whether there is any. */
function adviser(redis: RedisConnection, logger: Logger, description: string): (error: Error) => boolean {
  let last: { readonly advice: string; readonly at: number } | null = null;
  return (error) => {
    const why = reasonOf(error);
    const advice = adviceFor(redis, why);
    if (advice === null) return false;
    const now = performance.now();
    if (last?.advice === advice && now - last.at < ADVISE_EVERY_MS) return true;
    last = { advice, at: now };
    logger.error({ redis: description, error: why, advice }, 'Cannot use Redis with these settings');
    return true;
  };
}

/** ioredis calls `reconnectOnError` for every error reply. */
function adviseOnReplies({ options }: Redis, advised: (error: Error) => boolean): void {
  const reconnect = options.reconnectOnError;
  options.reconnectOnError = (error) => {
    advised(error);
    return reconnect?.(error) ?? false;
  };
}

function logNodes(cluster: Cluster, logger: Logger): void {
  const lost = new Set<string>();
  cluster.on('node error', (error: Error, node: string) => {
    if (!lost.has(node)) logger.warn({ node, error: error.message }, 'Redis Cluster node unreachable');
    lost.add(node);
  });
  cluster.on('+node', (redis: Redis) => {
    const { host = '', port = 0 } = redis.options;
    const node = formatAddress({ host, port });
    redis.on('ready', () => {
      if (lost.delete(node)) logger.info({ node }, 'Redis Cluster node reachable again');
    });
  });
}

/** Internals of ioredis. `test/shared/redis/connect.test.ts` fails if they change. */
interface Internals {
  /** Unanswered commands of the last ready connection, which the next one resends. */
  readonly prevCommandQueue?: CommandQueue | null;
  readonly commandQueue: CommandQueue;
  readonly retryAttempts: number;
  socketTimeoutTimer: NodeJS.Timeout | undefined;
  /** Called when a command is sent and `socketTimeoutTimer` is not set. */
  setSocketTimeout(): void;
}

interface CommandQueue {
  readonly length: number;
  shift(): { readonly command: { reject(error: Error): void } } | undefined;
}

/**
 * Fails unanswered commands that ioredis forgets. On close, or after `maxRetriesPerRequest` failed reconnects, ioredis fails only
 * the commands in `commandQueue`. If a connection was accepted but never became ready, as on a half-open network, earlier commands
 * stay in `prevCommandQueue` and would wait forever.
 */
export function failUnanswered(redis: Redis): void {
  redis.on('close', () => {
    const { prevCommandQueue, commandQueue, retryAttempts } = redis as unknown as Internals;
    if (prevCommandQueue === commandQueue) return;
    const { maxRetriesPerRequest: limit } = redis.options;
    if (redis.status === 'end') failSent(redis, CONNECTION_CLOSED_TEXT);
    else if (typeof limit === 'number' && retryAttempts % (limit + 1) === 0)
      failSent(redis, `Command aborted due to connection close, and no answer after ${retryAttempts} reconnects`);
  });
}

/** Fails the commands sent over a lost connection. */
export function failSent(redis: Redis, text: string): void {
  const { prevCommandQueue } = redis as unknown as Internals;
  for (let sent = prevCommandQueue?.shift(); sent; sent = prevCommandQueue?.shift()) sent.command.reject(new Error(text));
}

/** How long a connection reads once more before it is given up, in ms. */
const LAST_READ_MS = 100;

/**
 * Reads once more before a connection without an answer for `socketTimeout` is given up. Timers run before reads, so a process that was
 * busy for that long would otherwise lose a connection whose answers have arrived.
 *
 * One timer at a time runs on while answers come, and looks at the time of the last one when it fires: ioredis makes a timer and a listener
 * for each answer, which took a tenth of a lone command's time.
 */
export function readBeforeTimeout(redis: Redis): void {
  const internals = redis as unknown as Internals;
  const { socketTimeout } = redis.options;
  if (socketTimeout === undefined) return;
  let stream: Redis['stream'] | null = null;
  let timer: NodeJS.Timeout | undefined;
  /** When data last came, or the first command since then was sent; by performance.now. */
  let since = 0;
  const startTimer = (look: () => void, ms: number): void => {
    // The socket keeps the process alive while an answer is expected.
    timer = setTimeout(look, ms).unref();
    internals.socketTimeoutTimer = timer;
  };
  const look = (): void => {
    timer = undefined;
    // No answer is expected.
    if (internals.socketTimeoutTimer === undefined) return;
    const from = since;
    const left = from + socketTimeout - LAST_READ_MS - performance.now();
    if (left > 0) return startTimer(look, left);
    startTimer(() => {
      timer = undefined;
      if (since !== from) return look();
      internals.socketTimeoutTimer = undefined;
      stream?.destroy(new Error(`Socket timeout: no data within ${socketTimeout} ms`));
    }, LAST_READ_MS);
  };
  const watch = (watched: Redis['stream']): void => {
    clearTimeout(timer);
    timer = undefined;
    stream = watched;
    watched.on('data', () => {
      since = performance.now();
      if (internals.commandQueue.length === 0) internals.socketTimeoutTimer = undefined;
    });
  };
  internals.setSocketTimeout = () => {
    if (stream !== redis.stream) watch(redis.stream);
    since = performance.now();
    if (timer) internals.socketTimeoutTimer = timer;
    else startTimer(look, socketTimeout - LAST_READ_MS);
  };
}

/**
 * Makes a connection disconnect only once per stream. For every reply that requires a reconnect, ioredis disconnects again and
 * adds a timer and a listener: after a failover, one for each command in flight.
 */
export function endOnce(redis: Redis): void {
  const disconnect = redis.disconnect.bind(redis);
  let ending: Redis['stream'] | null = null;
  redis.disconnect = (reconnect = false) => {
    // Only while ready: a closed stream stays the current one until the next is connected.
    if (reconnect && redis.status === 'ready' && redis.stream === ending) return;
    if (reconnect) ending = redis.stream;
    disconnect(reconnect);
  };
}

/**
 * PINGs a subscribed connection at intervals, to tell a quiet connection from a dead one. Returns a function that stops it.
 * @param everyMs REDIS_HEALTH_CHECK_INTERVAL; 0 for no PING, which leaves detection to TCP keep-alive
 */
export function checkHealth(redis: Redis, everyMs: number): () => void {
  if (everyMs === 0) return () => undefined;
  const timer = setInterval(() => {
    if (redis.status === 'ready') redis.ping().catch(() => undefined);
  }, everyMs);
  return () => clearInterval(timer);
}
