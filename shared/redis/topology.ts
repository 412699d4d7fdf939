import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { FleetError, messageOf } from '../errors.js';
import type { Settings } from '../settings/settings.js';
import { parseRedisUrl } from './redis-url.js';

/** The address of a redis-server or sentinel. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Settings with a Redis URL. */
export type ConnectedSettings = Settings & { readonly redisUrl: string };

/**
 * The target of REDIS_URL: one server; a master found through sentinels, with the URL's host as the name of the service, as in
 * open-webui; or a cluster, found through the URL's node.
 */
export type Topology =
  | { readonly kind: 'standalone'; readonly address: Address }
  | { readonly kind: 'sentinel'; readonly service: string; readonly sentinels: readonly Address[] }
  | { readonly kind: 'cluster'; readonly nodes: readonly Address[] };

const REDIS_PORT = 6_379;

/** Expects checked settings, which never have both a cluster and sentinels. */
export function topologyOf({ redisUrl, cluster, clusterNodes, sentinelHosts, sentinelPort }: ConnectedSettings): Topology {
  const { host: name, port } = parseRedisUrl(redisUrl);
  const address = { host: name, port: port ?? REDIS_PORT };
  if (sentinelHosts.length > 0)
    return { kind: 'sentinel', service: address.host, sentinels: sentinelHosts.map((host) => parseAddress(host, sentinelPort)) };
  if (cluster) return { kind: 'cluster', nodes: [address, ...clusterNodes.map((host) => parseAddress(host, REDIS_PORT))] };
  return { kind: 'standalone', address };
}

/** Describes the target: `Redis at host:6379`, `Redis master mymaster (sentinels a:26379)`, `Redis Cluster at a:6379, b:6379`. */
export function describeTopology(topology: Topology): string {
  switch (topology.kind) {
    case 'standalone':
      return `Redis at ${formatAddress(topology.address)}`;
    case 'sentinel':
      return `Redis master ${topology.service} (sentinels ${topology.sentinels.map(formatAddress).join(', ')})`;
    case 'cluster':
      return `Redis Cluster at ${topology.nodes.map(formatAddress).join(', ')}`;
  }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Parses `host`, `host:port`, `[v6]` or `[v6]:port`. */
export function parseAddress(text: string, defaultPort: number): Address {
  const { hostname, port } = new URL(`redis://${text}`);
  return { host: unbracketed(hostname), port: Number(port) || defaultPort };
}

function unbracketed(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1) : host;
}

/**
 * Returns the TLS options for a `rediss:` URL, else null. The files are read for each connection, so that certificates can be
 * renewed in place.
 * @throws FleetError `INVALID_SETTINGS`, naming the file that cannot be read
 */
export function tlsOf({
  redisUrl,
  tlsCaFile,
  tlsCertFile,
  tlsKeyFile,
}: Settings & { readonly redisUrl: string }): ConnectionOptions | null {
  if (!parseRedisUrl(redisUrl).tls) return null;
  return {
    ...(tlsCaFile !== null && { ca: read('REDIS_TLS_CA_FILE', tlsCaFile) }),
    ...(tlsCertFile !== null && { cert: read('REDIS_TLS_CERT_FILE', tlsCertFile) }),
    ...(tlsKeyFile !== null && { key: read('REDIS_TLS_KEY_FILE', tlsKeyFile) }),
  };
}

function read(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FleetError('INVALID_SETTINGS', `${variable}: cannot read the file: ${messageOf(error)}`, { cause: error });
  }
}
