import { z } from 'zod';
import { isRedisUrl, parseRedisUrl, problemOfRedisUrl } from '../redis/redis-url.js';
import { type Setting, flag, integer, list, milliseconds, optionalFlag, optionalText, orZero, seconds } from './kinds.js';

const redisUrl: Setting<string | null> = {
  env: 'REDIS_URL',
  fallback: null,
  about: 'URL of Redis; with sentinels, the host is the name of the service. Without a URL, the fleet starts its own redis-server.',
  expected: 'a URL such as redis://user:password@host:6379/0 (redis: or rediss:), special characters in the password as %40',
  explain: (value) => (typeof value === 'string' ? problemOfRedisUrl(value) : null),
  schema: z.union([
    z.null(),
    z
      .string()
      .transform((text) => text.trim().replace(/^[a-z]+:/i, (scheme) => scheme.toLowerCase()))
      .refine((url) => isRedisUrl(url) && problemOfRedisUrl(url) === null),
  ]),
  secret: true,
};

const keyPrefix: Setting<string> = {
  env: 'REDIS_KEY_PREFIX',
  fallback: 'taskfleet',
  about: 'Prefix of every Redis key. Fleets with different prefixes can share a Redis.',
  expected: 'up to 64 letters, digits or . _ - { }',
  schema: z.string().regex(/^[A-Za-z0-9._{}-]{1,64}$/),
};

const HOSTS = 'hosts separated by commas, each with :port unless it is the default';
const host = z.string().refine((text) => URL.canParse(`redis://${text}`) && /^(\[[0-9a-f:.]+\]|[A-Za-z0-9._-]+)(:\d+)?$/i.test(text));

const natPair = z.string().refine((text) => /^[^\s=]+:\d+=[^\s=]+:\d+$/.test(text));

/** The settings of the Redis connection. */
export const REDIS_SETTINGS = {
  redisUrl,
  keyPrefix,
  cluster: flag('REDIS_CLUSTER', false, 'Whether REDIS_URL is a node of a Redis Cluster.'),
  clusterNodes: list(
    'REDIS_CLUSTER_NODES',
    /,/,
    HOSTS,
    'More nodes of the cluster to connect to first, in case the node in REDIS_URL is down.',
    host,
  ),
  clusterNatMap: list(
    'REDIS_CLUSTER_NAT_MAP',
    /,/,
    'pairs host:port=host:port separated by commas',
    'Maps advertised node addresses to reachable ones, for example behind a port mapping.',
    natPair,
  ),
  sentinelHosts: list('REDIS_SENTINEL_HOSTS', /,/, HOSTS, 'Sentinels that know the master.', host),
  sentinelPort: integer('REDIS_SENTINEL_PORT', 26_379, 1, 65_535, 'Port of the sentinels in REDIS_SENTINEL_HOSTS that have none.'),
  sentinelUsername: optionalText(
    'REDIS_SENTINEL_USERNAME',
    'a user name',
    "User name for the sentinels, if they require one; Redis' own is in REDIS_URL.",
  ),
  sentinelPassword: {
    ...optionalText('REDIS_SENTINEL_PASSWORD', 'a password', 'Password for the sentinels, if they require one.'),
    secret: true,
  },
  maxRetries: integer(
    'REDIS_SENTINEL_MAX_RETRY_COUNT',
    2,
    0,
    1_000,
    'How often a producer retries a command that Redis did not answer or could not run during a failover. Workers retry forever.',
  ),
  reconnectDelayMs: milliseconds(
    'REDIS_RECONNECT_DELAY',
    100,
    0,
    60_000,
    'Initial delay before a reconnect or retry, fractions allowed; it doubles up to 1 s.',
  ),
  tlsCaFile: optionalText(
    'REDIS_TLS_CA_FILE',
    'a path',
    'CA certificates (PEM) that verify a `rediss:` server. Default: the CAs that Node trusts.',
  ),
  tlsCertFile: optionalText(
    'REDIS_TLS_CERT_FILE',
    'a path',
    'Client certificate (PEM) for a `rediss:` server; requires REDIS_TLS_KEY_FILE.',
  ),
  tlsKeyFile: optionalText('REDIS_TLS_KEY_FILE', 'a path', 'Private key (PEM) of REDIS_TLS_CERT_FILE.'),
  connectTimeoutMs: seconds('REDIS_SOCKET_CONNECT_TIMEOUT', 3_000, 0.05, 600, 'Seconds to wait for a connection to Redis.'),
  keepAlive: flag('REDIS_SOCKET_KEEPALIVE', true, 'TCP keep-alive on connections to Redis.'),
  healthCheckMs: orZero(
    seconds('REDIS_HEALTH_CHECK_INTERVAL', 5_000, 0.1, 86_400, 'Seconds between PINGs on a subscribed connection; 0 for none.'),
  ),
  poolRedisUrl: {
    ...redisUrl,
    env: 'WEBSOCKET_REDIS_URL',
    about: "URL of the Redis of open-webui's websockets (usage pool, session pool, list of models), if it is not REDIS_URL.",
  },
  poolCluster: optionalFlag('WEBSOCKET_REDIS_CLUSTER', 'Whether WEBSOCKET_REDIS_URL is a node of a Redis Cluster. Default: REDIS_CLUSTER.'),
  poolSentinelHosts: {
    ...list('WEBSOCKET_SENTINEL_HOSTS', /,/, HOSTS, 'Sentinels that know the master of WEBSOCKET_REDIS_URL.', host),
    alias: 'WEBSOCKET_REDIS_SENTINEL_HOSTS',
  },
  poolSentinelPort: {
    ...integer('WEBSOCKET_SENTINEL_PORT', 26_379, 1, 65_535, 'Port of the sentinels in WEBSOCKET_SENTINEL_HOSTS that have none.'),
    alias: 'WEBSOCKET_REDIS_SENTINEL_PORT',
  },
  enqueueWaitReplicas: integer(
    'ENQUEUE_WAIT_REPLICAS',
    0,
    0,
    100,
    'Number of Redis replicas that must have a task before its enqueue is acknowledged.',
  ),
  stopWaitReplicas: integer('STOP_WAIT_REPLICAS', 0, 0, 100, 'Number of Redis replicas that must have a stop before it is acknowledged.'),
  waitReplicasTimeoutMs: integer(
    'WAIT_REPLICAS_TIMEOUT_MS',
    1_000,
    1,
    60_000,
    'How long to wait for the replicas before the call fails with NOT_REPLICATED.',
  ),
} as const;

type Table = typeof REDIS_SETTINGS;
type RedisSettings = { readonly [Name in keyof Table]: Table[Name] extends Setting<infer Value> ? Value : never };

/** Returns the conflicts between Redis settings. */
export function problemsOfRedis(settings: RedisSettings): string[] {
  const { redisUrl: url, cluster, clusterNodes, clusterNatMap, sentinelHosts, tlsCaFile, tlsCertFile, tlsKeyFile } = settings;
  const pool = placeOfPools(settings);
  const isTls = [url, pool?.redisUrl ?? null].some((each) => each?.startsWith('rediss:'));
  const problems: [boolean, string][] = [
    [cluster && url === null, 'REDIS_CLUSTER: expected REDIS_URL beside it, a node of the cluster'],
    [
      sentinelHosts.length > 0 && url === null,
      'REDIS_SENTINEL_HOSTS: expected REDIS_URL beside it, with the name of the service as its host: redis://mymaster/0',
    ],
    [!cluster && clusterNodes.length > 0, 'REDIS_CLUSTER_NODES: expected REDIS_CLUSTER=true beside it'],
    [!cluster && clusterNatMap.length > 0, 'REDIS_CLUSTER_NAT_MAP: expected REDIS_CLUSTER=true beside it'],
    [
      pool !== null && pool.redisUrl === null,
      'WEBSOCKET_REDIS_CLUSTER, WEBSOCKET_SENTINEL_HOSTS: expected WEBSOCKET_REDIS_URL or REDIS_URL beside them',
    ],
    [(tlsCertFile === null) !== (tlsKeyFile === null), 'REDIS_TLS_CERT_FILE: expected it together with REDIS_TLS_KEY_FILE'],
    [
      !isTls && (tlsCaFile ?? tlsCertFile ?? tlsKeyFile) !== null,
      'REDIS_TLS_CA_FILE, REDIS_TLS_CERT_FILE, REDIS_TLS_KEY_FILE: expected REDIS_URL to begin with rediss://',
    ],
  ];
  return [
    ...problemsOfPlace(settings, settings.keyPrefix, ['REDIS_URL', 'REDIS_CLUSTER', 'REDIS_SENTINEL_HOSTS']),
    ...(pool === null
      ? []
      : problemsOfPlace(pool, settings.keyPrefix, ['WEBSOCKET_REDIS_URL', 'WEBSOCKET_REDIS_CLUSTER', 'WEBSOCKET_SENTINEL_HOSTS'])),
    ...problems.flatMap(([bad, problem]) => (bad ? [problem] : [])),
  ];
}

type Place = Pick<RedisSettings, 'redisUrl' | 'cluster' | 'sentinelHosts' | 'sentinelPort'>;

/** The last parameter has the names of the variables for URL, cluster and sentinels. */
function problemsOfPlace(
  { redisUrl: url, cluster, sentinelHosts }: Place,
  prefix: string,
  [ofUrl, ofCluster, ofSentinels]: readonly [string, string, string],
): string[] {
  const database = url === null ? 0 : parseRedisUrl(url).database;
  const problems: [boolean, string][] = [
    [cluster && sentinelHosts.length > 0, `${ofCluster}: expected false together with ${ofSentinels}, got true; set one of the two`],
    [cluster && database !== 0, `${ofUrl}: expected database 0, the only one in a cluster, got ${database}`],
    [
      cluster && !/^([^{}]+|\{[^{}]+\})$/.test(prefix),
      `REDIS_KEY_PREFIX: expected a prefix without braces, or entirely in braces, for a cluster, got ${JSON.stringify(prefix)}`,
    ],
  ];
  return problems.flatMap(([bad, problem]) => (bad ? [problem] : []));
}

/**
 * Returns the Redis of the pools, or null if it is the fleet's. As in open-webui, another WEBSOCKET_REDIS_URL inherits
 * REDIS_CLUSTER but not the sentinels.
 */
export function placeOfPools(settings: RedisSettings): Place | null {
  const { poolRedisUrl, poolCluster, poolSentinelHosts, poolSentinelPort, ...main } = settings;
  const sameUrl = poolRedisUrl === null || poolRedisUrl === main.redisUrl;
  const inherits = sameUrl && poolSentinelHosts.length === 0;
  const place: Place = {
    redisUrl: poolRedisUrl ?? main.redisUrl,
    cluster: poolCluster ?? main.cluster,
    sentinelHosts: inherits ? main.sentinelHosts : poolSentinelHosts,
    sentinelPort: inherits ? main.sentinelPort : poolSentinelPort,
  };
  const isSame =
    sameUrl &&
    place.cluster === main.cluster &&
    String(place.sentinelHosts) === String(main.sentinelHosts) &&
    place.sentinelPort === main.sentinelPort;
  return isSame ? null : place;
}
