import { createKeys } from '../../../../shared/keys.js';
import { TestCluster } from '../../../support/redis/test-cluster.js';
import type { TestRedis } from '../../../support/redis/test-redis.js';
import { TestSentinels } from '../../../support/redis/test-sentinels.js';
import type { Deployment } from '../../faults/fault-fleet.js';
import { loadTask } from '../../faults/load/load-task.js';
import { singleRedis } from '../../faults/single-redis.js';
import type { Topology } from '../options.js';

/** A Redis that survives crashes without a loss: acknowledged writes are on disk, and at a replica if there is one. */
export interface SoakDeployment extends Deployment {
  /** All servers without the sentinels. */
  readonly nodes: readonly TestRedis[];
  /** Kills the master of some keys with SIGKILL; resolves when all is complete again, the master back after `awayMs` or more. */
  killMaster(of: 'queue' | 'registry', awayMs: number): Promise<void>;
  /** Moves the slots of the queue and of the registry to other masters; clusters only. */
  moveSlots(): Promise<void>;
}

export const KEY_PREFIX = 'soak';
const DOWN_AFTER_MS = 1_500;
const ALWAYS = 'appendfsync always';
const CONFIRMED = { enqueueWaitReplicas: 1, stopWaitReplicas: 1 };

export function deploy(topology: Topology): Promise<SoakDeployment> {
  switch (topology) {
    case 'standalone':
      return standalone();
    case 'sentinel':
      return sentinels();
    case 'cluster':
      return cluster();
  }
}

async function standalone(): Promise<SoakDeployment> {
  const deployment = await singleRedis({ appendonly: 'yes', config: [ALWAYS] });
  const { redis } = deployment;
  const killMaster = async (_: unknown, awayMs: number): Promise<void> => {
    await redis.kill();
    await pause(awayMs);
    await redis.restart();
  };
  return { ...deployment, nodes: [redis], killMaster, moveSlots };
}

async function sentinels(): Promise<SoakDeployment> {
  const redis = await TestSentinels.start({ appendonly: 'yes', downAfterMs: DOWN_AFTER_MS, config: [ALWAYS] });
  const redisUrl = `redis://${redis.name}`;
  const killMaster = async (_: unknown, awayMs: number): Promise<void> => {
    const old = await redis.killMaster();
    await Promise.all([redis.promoted(old), pause(awayMs)]);
    await redis.restart(old);
    await redis.settled();
  };
  return {
    config: { redisUrl, sentinelHosts: redis.sentinelHosts.split(','), ...CONFIRMED },
    env: { REDIS_URL: redisUrl, REDIS_SENTINEL_HOSTS: redis.sentinelHosts },
    ...{ nodes: redis.nodes, killMaster, moveSlots, stop: () => redis.stop() },
  };
}

async function cluster(): Promise<SoakDeployment> {
  const redis = await TestCluster.start({ appendonly: 'yes', nodeTimeoutMs: DOWN_AFTER_MS, config: [ALWAYS] });
  const others = redis.hosts.slice(1).map(({ host, port }) => `${host}:${port}`);
  const keys = createKeys(KEY_PREFIX, true);
  const keyOf = { queue: `${keys.jobs(loadTask.queue)}wait`, registry: keys.tasks };
  const killMaster = async (of: 'queue' | 'registry', awayMs: number): Promise<void> => {
    const old = await redis.killMasterOf(keyOf[of]);
    await Promise.all([redis.promoted(keyOf[of], old), pause(awayMs)]);
    await redis.restart(old);
    await redis.complete();
  };
  return {
    config: { redisUrl: redis.url, cluster: true, clusterNodes: others, ...CONFIRMED },
    env: { REDIS_URL: redis.url, REDIS_CLUSTER: 'true', REDIS_CLUSTER_NODES: others.join(',') },
    ...{ nodes: redis.nodes, killMaster, stop: () => redis.stop() },
    moveSlots: async () => {
      for (const key of Object.values(keyOf)) await redis.migrateSlot(await redis.slotOf(key));
    },
  };
}

async function moveSlots(): Promise<never> {
  throw new Error('Expected a cluster: only a cluster has slots to move');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
