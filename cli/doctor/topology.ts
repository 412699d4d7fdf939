import { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import { type RedisConnection, isCluster } from '../../shared/redis/connection.js';
import { type Address, type ConnectedSettings, type Topology, formatAddress, tlsOf, topologyOf } from '../../shared/redis/topology.js';
import { type Check, fail, ok, warn } from './check.js';
import {
  type ClusterReport,
  type Info,
  type Replica,
  type SentinelAnswer,
  type SentinelReport,
  type Server,
  type TopologyFindings,
  describeReplicas,
  parseInfo,
  parsePairs,
  replicasOf,
} from './topology-report.js';

const NAME = 'topology';
const ANSWER_MS = 2_000;

/**
 * Asks every sentinel: a connection needs only one of them, but a failover needs a majority.
 * @param master the connected server, null if there is no connection
 */
export async function checkSentinels(
  topology: Extract<Topology, { kind: 'sentinel' }>,
  settings: ConnectedSettings,
  master: { readonly address: string; readonly replicas: readonly Replica[] } | null,
): Promise<TopologyFindings> {
  const { service, sentinels } = topology;
  const answers = await Promise.all(sentinels.map((sentinel) => ask(sentinel, service, settings)));
  const quorum = answers.find((answer) => answer.quorum !== null)?.quorum ?? null;
  const report = {
    kind: 'sentinel',
    service,
    master: master?.address ?? null,
    quorum,
    sentinels: answers,
    replicas: master?.replicas ?? [],
  } as const;
  return { report, checks: judgeSentinels(report), usable: master !== null };
}

function judgeSentinels({ service, master, quorum, sentinels, replicas }: SentinelReport): Check[] {
  const answering = sentinels.filter(({ answers }) => answers);
  const addresses = sentinels.map(({ address }) => address).join(', ');
  const name = `Redis master ${service}${master === null ? '' : ` at ${master}`} (sentinels ${addresses})`;
  const summary = `${name}: ${answering.length} of ${sentinels.length} sentinels answer`;
  const silent = sentinels.find(({ answers }) => !answers);
  if (answering.length === 0) return [fail(NAME, `${summary}: ${silent?.error}`, adviceForSilent(silent?.error ?? ''))];
  const ignorant = answering.filter(({ error }) => error !== null);
  if (ignorant.length > 0) {
    return [
      fail(
        NAME,
        `${summary}; ${ignorant.map(({ address, error }) => `${address} replies: ${error}`).join('; ')}`,
        `Set the host of REDIS_URL, now ${service}, to the master's name in the sentinels (sentinel monitor <name> …), ` +
          'and REDIS_SENTINEL_HOSTS to sentinels that monitor it.',
      ),
    ];
  }
  const message = `${summary}, quorum ${quorum}; ${describeReplicas(replicas)}`;
  const masters = new Set(answering.map((answer) => answer.master));
  if (masters.size > 1)
    return [
      warn(
        NAME,
        `${message}; they disagree on the master: ${[...masters].join(', ')}`,
        'A failover may be in progress. If this persists, check the logs of the sentinels.',
      ),
    ];
  const known = Math.max(...answering.map((answer) => answer.known ?? 1));
  const needed = Math.max(quorum ?? 1, Math.floor(known / 2) + 1);
  if (silent) return [warn(NAME, `${message}; ${silent.address}: ${silent.error}`, adviceForSilent(silent.error ?? ''))];
  if (known < needed || known === 1)
    return [
      warn(
        NAME,
        `${message}; ${known} sentinels known in total, but a failover needs ${needed}`,
        'Run at least three sentinels, with a quorum of two.',
      ),
    ];
  const following = replicas.filter(({ link }) => link === 'online').length;
  if (following === 0) return [warn(NAME, message, 'Add a replica (replicaof): without one, no failover is possible.')];
  return [ok(NAME, message)];
}

function adviceForSilent(error: string): string {
  if (/NOAUTH|WRONGPASS|AUTH/.test(error)) return 'Set REDIS_SENTINEL_PASSWORD, and REDIS_SENTINEL_USERNAME for a user other than default.';
  return 'Restart it, or correct REDIS_SENTINEL_HOSTS: a failover needs a majority of the sentinels.';
}

async function ask(sentinel: Address, service: string, settings: ConnectedSettings): Promise<SentinelAnswer> {
  const { sentinelUsername, sentinelPassword } = settings;
  const tls = tlsOf(settings);
  const redis = new Redis({
    ...{ host: sentinel.host, port: sentinel.port, protocol: 2, lazyConnect: true, enableReadyCheck: false, retryStrategy: () => null },
    ...{ connectTimeout: Math.min(settings.connectTimeoutMs, ANSWER_MS), commandTimeout: ANSWER_MS, connectionName: 'taskfleet:doctor' },
    ...(sentinelUsername !== null && { username: sentinelUsername }),
    ...(sentinelPassword !== null && { password: sentinelPassword }),
    ...(tls && { tls }),
  });
  let problem: string | null = null;
  redis.on('error', (error: Error) => (problem ??= messageOf(error) || (error as NodeJS.ErrnoException).code || 'no connection'));
  const reply = { address: formatAddress(sentinel), answers: true, error: null, master: null, quorum: null, known: null };
  try {
    await redis.connect();
    const master: Info = parsePairs((await redis.call('SENTINEL', 'MASTER', service)) as string[]);
    const number = (name: string): number => Number(master.get(name) ?? 0);
    return {
      ...reply,
      master: `${master.get('ip')}:${master.get('port')}`,
      quorum: number('quorum'),
      known: number('num-other-sentinels') + 1,
    };
  } catch (error) {
    const text = messageOf(error);
    return { ...reply, answers: /No such master/i.test(text), error: problem ?? text };
  } finally {
    redis.disconnect();
  }
}

const SLOTS = 16_384;

/** @param servers the masters found by the connection */
async function checkCluster(servers: readonly Server[]): Promise<TopologyFindings> {
  const asked = (servers[0] as Server).redis;
  const info = parseInfo(String(await asked.call('CLUSTER', 'INFO')));
  const nodes = String(await asked.call('CLUSTER', 'NODES'));
  const coverage = await asked.config('GET', 'cluster-require-full-coverage').then(
    (words) => parsePairs(words).get('cluster-require-full-coverage') === 'yes',
    () => null,
  );
  const report = {
    kind: 'cluster',
    state: info.get('cluster_state') ?? 'unknown',
    slotsCovered: Number(info.get('cluster_slots_ok') ?? 0),
    requireFullCoverage: coverage,
    masters: mastersOf(nodes),
  } as const;
  return { report, checks: [judgeCluster(report)], usable: true };
}

/** Parses CLUSTER NODES, because CLUSTER SLOTS omits replicas that have received no writes yet. */
function mastersOf(nodes: string): ClusterReport['masters'] {
  const all = nodes.split('\n').flatMap((line) => {
    const [id = '', address = '', flags = '', master = '', , , , , ...slots] = line.trim().split(' ');
    return id === '' ? [] : [{ id, address: address.replace(/@.*$/, ''), flags: flags.split(','), master, slots }];
  });
  const alive = all.filter(({ flags }) => !flags.some((flag) => ['fail', 'handshake', 'noaddr'].includes(flag)));
  return alive
    .filter(({ flags, slots }) => flags.includes('master') && slots.length > 0)
    .map(({ id, address, slots }) => ({
      address,
      slots: slots.reduce((sum, range) => sum + sizeOf(range), 0),
      replicas: alive.filter(({ master }) => master === id).map((replica) => replica.address),
    }));
}

/** Returns the size of a range such as `5` or `0-5460`; 0 for a slot in migration, `[93-<-…]`. */
function sizeOf(range: string): number {
  const [first = Number.NaN, last = first] = range.split('-').map(Number);
  return Number.isNaN(first) || Number.isNaN(last) ? 0 : last - first + 1;
}

function judgeCluster({ state, slotsCovered, requireFullCoverage, masters }: ClusterReport): Check {
  const replicas = masters.reduce((sum, master) => sum + master.replicas.length, 0);
  const coverage = requireFullCoverage === null ? '' : `, cluster-require-full-coverage ${requireFullCoverage ? 'yes' : 'no'}`;
  const slots = `${slotsCovered} of ${SLOTS} slots covered`;
  const message = `cluster: ${masters.length} masters, ${replicas} replicas, ${slots}, state ${state}${coverage}`;
  if (state !== 'ok' || slotsCovered < SLOTS)
    return fail(
      NAME,
      message,
      'Restore the master of the missing slots, or its replica: redis-cli --cluster check <node>, then --cluster fix.',
    );
  const alone = masters.filter((master) => master.replicas.length === 0).map(({ address }) => address);
  if (alone.length > 0)
    return warn(
      NAME,
      `${message}; without a replica: ${alone.join(', ')}`,
      'Add one to each (redis-cli --cluster add-node … --cluster-slave): without a replica, losing the master loses its slots.',
    );
  return ok(NAME, message);
}

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
