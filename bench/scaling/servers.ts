import { TestCluster } from '../../test/support/redis/test-cluster.js';
import type { TestRedis } from '../../test/support/redis/test-redis.js';
import type { Servers } from './window.js';

const MASTERS = 3;
/** The three shards of the load's queue are on three masters with this prefix. */
const PREFIX = 'bench';

export function oneServer(redis: TestRedis): Servers {
  return { config: { redisUrl: redis.url, keyPrefix: PREFIX, cluster: false }, pids: [redis.pid], clients: [redis.client()] };
}

/** Starts a cluster of three masters without replicas, which would use the same cores. */
export async function openCluster(): Promise<{ servers: Servers; stop: () => Promise<void> }> {
  const cluster = await TestCluster.start({ config: ['cluster-allow-replica-migration no'] });
  const [masters, others] = [cluster.nodes.slice(0, MASTERS), cluster.nodes.slice(MASTERS)];
  await Promise.all(others.map((replica) => replica.kill()));
  const servers: Servers = {
    config: { redisUrl: cluster.url, keyPrefix: PREFIX, cluster: true },
    pids: masters.map(({ pid }) => pid),
    clients: masters.map((master) => master.client()),
  };
  return { servers, stop: () => cluster.stop() };
}
