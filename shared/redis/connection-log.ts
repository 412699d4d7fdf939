import type { Cluster, Redis } from 'ioredis';
import type { Logger } from '../logger.js';
import { type RedisConnection, isCluster } from './connection.js';
import { adviceFor, watchSentinels } from './connection-advice.js';
import { reasonOf } from './connection-errors.js';
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
