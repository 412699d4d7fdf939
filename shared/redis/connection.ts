import { type Cluster, Command, type Redis } from 'ioredis';
import { type Address, formatAddress } from './topology.js';

/** A connection to one redis-server, perhaps one that sentinels name, or to a cluster. */
export type RedisConnection = Redis | Cluster;

const descriptions = new WeakMap<RedisConnection, string>();

/** For messages: what the connection goes to. */
export function describeConnection(redis: RedisConnection): string {
  const known = descriptions.get(redis);
  if (known !== undefined || isCluster(redis)) return known ?? 'Redis Cluster';
  const { host = '127.0.0.1', port = 6_379 } = redis.options;
  return `Redis at ${formatAddress({ host, port })}`;
}

export function nameConnection(redis: RedisConnection, description: string): void {
  descriptions.set(redis, description);
}

export function isCluster(redis: RedisConnection): redis is Cluster {
  return redis.isCluster;
}

/**
 * Whether commands are carried out in the order in which they were sent, whatever their keys. On a cluster they are not:
 * what must come first has to be answered first.
 */
export function keepsOrder(redis: RedisConnection): boolean {
  return !isCluster(redis);
}

/** The slot of a cluster that a key belongs to. */
export function slotOf(key: string): number {
  return new Command('GET', [key]).getSlot();
}

/** The address of the master that has the slot of a key; null while the cluster is not known. */
export function ownerOf(cluster: Cluster, key: string): Address | null {
  const node = cluster.slots[slotOf(key)]?.[0];
  if (node === undefined) return null;
  const colon = node.lastIndexOf(':');
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) };
}

/** The connection to the server that has a key: of a cluster, that to the key's master. Null while that is not known. */
export function serverOf(redis: RedisConnection, key: string): Redis | null {
  if (!isCluster(redis)) return redis;
  const owner = ownerOf(redis, key);
  return redis.nodes('master').find(({ options: { host, port } }) => host === owner?.host && port === owner?.port) ?? null;
}

/** How many connections to servers it has: on a cluster, one to each node that was asked anything, and one that ioredis listens on. */
export function countConnections(redis: RedisConnection): number {
  if (!isCluster(redis)) return 1;
  return redis.nodes().filter(({ status }) => status === 'ready').length + 1;
}
