import { type Cluster, Command, type Redis } from 'ioredis';
import { type Address, formatAddress } from './topology.js';

/** A connection to one redis-server, possibly found through sentinels, or to a cluster. */
export type RedisConnection = Redis | Cluster;

const descriptions = new WeakMap<RedisConnection, string>();

/** Describes the connection's target, for messages. */
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

/** Whether commands run in the order sent, whatever their keys. Not on a cluster, where each step must await the previous one. */
export function keepsOrder(redis: RedisConnection): boolean {
  return !isCluster(redis);
}

/** Returns the cluster slot of a key. */
export function slotOf(key: string): number {
  return new Command('GET', [key]).getSlot();
}

/** Returns the address of the master that owns a key's slot; null while unknown. */
export function ownerOf(cluster: Cluster, key: string): Address | null {
  const node = cluster.slots[slotOf(key)]?.[0];
  if (node === undefined) return null;
  const colon = node.lastIndexOf(':');
  return { host: node.slice(0, colon), port: Number(node.slice(colon + 1)) };
}

/** Returns the connection to the server that holds a key: on a cluster, to the key's master. Null while unknown. */
export function serverOf(redis: RedisConnection, key: string): Redis | null {
  if (!isCluster(redis)) return redis;
  const owner = ownerOf(redis, key);
  return redis.nodes('master').find(({ options: { host, port } }) => host === owner?.host && port === owner?.port) ?? null;
}

/** Counts the connections to servers: on a cluster, one per node used so far, plus ioredis' subscriber. */
export function countConnections(redis: RedisConnection): number {
  if (!isCluster(redis)) return 1;
  return redis.nodes().filter(({ status }) => status === 'ready').length + 1;
}
