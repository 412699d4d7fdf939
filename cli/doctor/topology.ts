import type { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import { type RedisConnection, isCluster } from '../../shared/redis/connection.js';
import { type ConnectedSettings, formatAddress, topologyOf } from '../../shared/redis/topology.js';
import { type Check, fail, ok } from './check.js';
import { checkCluster } from './cluster-topology.js';
import { type Info, describeReplicas, parseInfo, replicasOf } from './redis-info.js';
import { checkSentinels } from './sentinel-topology.js';
import type { Server, TopologyFindings } from './topology-report.js';

/** Returns the writable servers: the server itself, the sentinels' master, or all masters of a cluster. */
export function openServers(redis: RedisConnection): Promise<Server[]> {
  const servers = isCluster(redis) ? redis.nodes('master') : [redis];
  return Promise.all(
    servers.map(async (server) => {
      const { remoteAddress, remotePort } = server.stream ?? {};
      const { host = '', port = 0 } = server.options;
      const address =
        isCluster(redis) || remoteAddress === undefined ? { host, port } : { host: remoteAddress, port: remotePort as number };
      return { address: formatAddress(address), redis: server, info: await infoOf(server) };
    }),
  );
}

/** Returns an empty map if INFO is not permitted. */
async function infoOf(server: Redis): Promise<Info> {
  return server.info().then(parseInfo, (error: unknown) => {
    if (messageOf(error).startsWith('NOPERM')) return new Map();
    throw error;
  });
}

/** Finds the topology behind REDIS_URL and checks that it matches the settings. */
export async function checkTopology(
  redis: RedisConnection,
  servers: readonly Server[],
  settings: ConnectedSettings,
): Promise<TopologyFindings> {
  const topology = topologyOf(settings);
  if (isCluster(redis)) return checkCluster(servers);
  const { info, address } = servers[0] as Server;
  if (topology.kind === 'sentinel') return checkSentinels(topology, settings, { address, replicas: replicasOf(info) });
  const role = info.get('role') ?? 'unknown';
  const report = { kind: 'standalone', role, replicas: replicasOf(info) } as const;
  const wrong = wrongServer(info);
  return { report, checks: [wrong ?? ok('topology', `standalone, ${describeReplicas(report.replicas)}`)], usable: wrong === null };
}

function wrongServer(info: Info): Check | null {
  const name = 'topology';
  const mode = info.get('redis_mode');
  if (mode === 'cluster')
    return fail(
      name,
      'REDIS_URL is a node of a Redis Cluster, but REDIS_CLUSTER is not set',
      'Set REDIS_CLUSTER=true for every process of the fleet.',
    );
  if (mode === 'sentinel')
    return fail(
      name,
      'REDIS_URL is a sentinel, not a Redis',
      'Add it to REDIS_SENTINEL_HOSTS, and set REDIS_URL to redis://<name of the master>.',
    );
  if (info.get('role') !== 'slave') return null;
  const master = `${info.get('master_host')}:${info.get('master_port')}`;
  return fail(
    name,
    `REDIS_URL is a read-only replica of ${master} (READONLY)`,
    `Set REDIS_URL to its master, ${master}, or list the sentinels in REDIS_SENTINEL_HOSTS.`,
  );
}
