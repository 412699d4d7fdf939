import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { createKeys } from '../../../shared/keys.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import { TestSentinels } from '../../support/redis/test-sentinels.js';
import type { Deployment, FaultFleet } from './fault-fleet.js';
import { now } from './load/clock.js';
import { loadTask } from './load/load-task.js';
import { type FaultScenario, faultTest } from './scenario.js';
import { FULL } from './size.js';

const DOWN_AFTER_MS = FULL ? 5_000 : 1_000;
/** At small size, only the end of a hang: the machine may be slow. */
const RESUME_LIMIT_MS = FULL ? 10_000 : 120_000;
const RECOVERY_LIMIT_MS = 60_000;
/** The load in flight at the fault. */
const load: FaultScenario['load'] = { full: { backlog: 5_000, longestMs: 400 } };
const ALWAYS = ['appendfsync always'];

/** Enqueues and stops are acknowledged by a replica. */
const CONFIRMED = { enqueueWaitReplicas: 1, stopWaitReplicas: 1 };
const CONFIRMED_WORDS = 'ENQUEUE_WAIT_REPLICAS and STOP_WAIT_REPLICAS 1';

/** Loses writes that the old master had not yet replicated. */
const UNCONFIRMED = [
  'lost',
  'wrong end',
  'two outcomes',
  'stop lost',
  'began after its stop',
  'ran on after its stop',
  'added though rejected',
] as const;

describe('Sentinel', () => {
  for (const confirmed of [true, false]) {
    faultTest({
      fault: 'Sentinel failover, the master killed (SIGKILL)',
      setting: `down-after ${DOWN_AFTER_MS / 1_000} s, ${confirmed ? `appendfsync always, ${CONFIRMED_WORDS}` : 'appendfsync everysec'}`,
      about: confirmed
        ? 'Writes that a replica has are kept: the replica with the most data becomes the master.'
        : 'Writes that the master had not yet sent to a replica are lost.',
      open: () => sentinels(confirmed),
      load,
      onlyFull: !confirmed,
      ...(confirmed ? {} : { tolerates: UNCONFIRMED }),
      strike: async (fleet) => {
        const { redis } = fleet.options.deployment as SentinelDeployment;
        const old = await redis.killMaster();
        const at = now();
        await redis.promoted(old);
        const promotedMs = Math.round(now() - at);
        await redis.restart(old);
        return { at, figures: { 'promoted after, ms': promotedMs } };
      },
      check: resumed,
    });
  }
});

describe('Redis Cluster', () => {
  for (const [what, confirmed] of [
    ['of the queue', true],
    ['of the registry', true],
    ['of the queue', false],
  ] as const) {
    faultTest({
      fault: `Cluster, the master ${what} killed (SIGKILL)`,
      setting: `node-timeout ${DOWN_AFTER_MS / 1_000} s, ${confirmed ? `appendfsync always, ${CONFIRMED_WORDS}` : 'appendfsync everysec'}`,
      about: confirmed
        ? 'Writes that the replica has are kept. Until the dead master is back as the only replica, nothing is acknowledged.'
        : 'Writes that the master had not yet sent to its replica are lost.',
      open: () => cluster(confirmed),
      load,
      onlyFull: !confirmed || what === 'of the registry',
      ...(confirmed ? {} : { tolerates: UNCONFIRMED }),
      strike: async (fleet) => {
        const { redis } = fleet.options.deployment as ClusterDeployment;
        const key = what === 'of the queue' ? queueKey(fleet) : createKeys(fleet.keyPrefix, true).tasks;
        const old = await redis.killMasterOf(key);
        const at = now();
        await redis.promoted(key, old);
        const promotedMs = Math.round(now() - at);
        // Until then no replica is left to confirm writes.
        await redis.restart(old);
        return { at, figures: { 'promoted after, ms': promotedMs } };
      },
      check: (fleet, struck) => {
        noRedirections(fleet);
        if (!confirmed) resumed(fleet, struck);
      },
    });
  }

  faultTest({
    fault: 'Cluster, slots moved to another master',
    setting: 'the slots of the queue and of the registry, twice each',
    about: 'Commands wait while their slot moves; clients are redirected, and nothing is rejected.',
    open: () => cluster(true),
    load,
    onlyFull: true,
    strike: async (fleet) => {
      const { redis } = fleet.options.deployment as ClusterDeployment;
      const slots = await Promise.all([queueKey(fleet), createKeys(fleet.keyPrefix, true).tasks].map((key) => redis.slotOf(key)));
      const at = now();
      const took: number[] = [];
      for (const slot of [...slots, ...slots]) {
        const begunAt = now();
        await redis.migrateSlot(slot);
        took.push(Math.round(now() - begunAt));
        await fleet.recovered(now(), RECOVERY_LIMIT_MS);
      }
      return { at, figures: { 'each move, ms': took.join(', ') } };
    },
    check: (fleet) => {
      noRedirections(fleet);
      assert.equal(fleet.history.refusedEnqueues.length, 0, JSON.stringify(fleet.history.refusedEnqueues[0]));
    },
  });
});

/** Asserts that enqueues, tasks and stops work again in time. */
function resumed({ history }: FaultFleet, { at }: { readonly at: number }): void {
  const enqueueMs = (history.enqueueWorkedAt(at) ?? Infinity) - at;
  assert.ok(enqueueMs <= RESUME_LIMIT_MS, `enqueues work again after ${enqueueMs} ms`);
}

function noRedirections({ history }: FaultFleet): void {
  const redirected = [...history.refusedEnqueues, ...history.refusedStops].filter(({ message }) =>
    /redirection|MOVED|ASK|CROSSSLOT|TRYAGAIN/i.test(message),
  );
  assert.deepEqual(redirected, []);
}

function queueKey({ keyPrefix }: FaultFleet): string {
  return `${createKeys(keyPrefix, true).jobs(loadTask.queue)}wait`;
}

interface SentinelDeployment extends Deployment {
  readonly redis: TestSentinels;
}

async function sentinels(always: boolean): Promise<SentinelDeployment> {
  const redis = await TestSentinels.start({ appendonly: 'yes', downAfterMs: DOWN_AFTER_MS, config: always ? ALWAYS : [] });
  const redisUrl = `redis://${redis.name}`;
  return {
    redis,
    config: { redisUrl, sentinelHosts: redis.sentinelHosts.split(','), ...(always && CONFIRMED) },
    env: { REDIS_URL: redisUrl, REDIS_SENTINEL_HOSTS: redis.sentinelHosts },
    stop: () => redis.stop(),
  };
}

interface ClusterDeployment extends Deployment {
  readonly redis: TestCluster;
}

async function cluster(always: boolean): Promise<ClusterDeployment> {
  const redis = await TestCluster.start({ appendonly: 'yes', nodeTimeoutMs: DOWN_AFTER_MS, config: always ? ALWAYS : [] });
  const others = redis.hosts.slice(1).map(({ host, port }) => `${host}:${port}`);
  return {
    redis,
    config: { redisUrl: redis.url, cluster: true, clusterNodes: others, ...(always && CONFIRMED) },
    env: { REDIS_URL: redis.url, REDIS_CLUSTER: 'true', REDIS_CLUSTER_NODES: others.join(',') },
    stop: () => redis.stop(),
  };
}
