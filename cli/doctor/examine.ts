import { Redis } from 'ioredis';
import { isFleetError, messageOf } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { connect, hangUp, ready, serverOptions } from '../../shared/redis/connect.js';
import { adviceFor, reasonOf } from '../../shared/redis/connection-errors.js';
import { type RedisConnection, describeConnection } from '../../shared/redis/connection.js';
import { databaseRefusal } from '../../shared/redis/reply-errors.js';
import { type Address, type ConnectedSettings, topologyOf } from '../../shared/redis/topology.js';
import { redactUrl } from '../../shared/settings/settings.js';
import { clientSettings } from '../client/settings.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { type Check, fail } from './check.js';
import { type FleetReport, checkFleet } from './fleet-checks.js';
import { checkPermissions } from './permissions.js';
import { Findings, checkRecords } from './record-checks.js';
import { checkRedis, checkWrite, notReadable } from './redis-checks.js';
import { type TopologyReport, parseInfo } from './topology-report.js';
import { checkSentinels, checkTopology, openServers } from './topology.js';

const NAME = 'connection';
const PROBE_MS = 2_000;

export interface DoctorReport extends FleetReport {
  /** Null if unknown. */
  readonly topology: TopologyReport | null;
}

const NO_FLEET = { workers: [], reconcile: null } as const;

/**
 * Checks the configured Redis and the fleet in it.
 * @param say receives the Redis URL and key prefix before the checks start
 * @throws FleetError `REDIS_UNAVAILABLE`, `INVALID_SETTINGS`
 */
export async function examineRedis(io: Io, flags: GlobalOptions, say: (line: string) => unknown): Promise<DoctorReport> {
  const settings = await clientSettings(io, flags);
  say(`Redis at ${redactUrl(settings.redisUrl)}, keys ${settings.keyPrefix}:*`);
  // Log lines are dropped: the checks report connection problems.
  const logger = createLoggerFactory({ settings, destination: { write: () => undefined } })('cli');
  const redis = connect({ settings, policy: 'fail-fast', logger, name: 'taskfleet:doctor' });
  try {
    await ready(redis, settings.connectTimeoutMs);
    return await examineServers(redis, settings);
  } catch (error) {
    const findings =
      isFleetError(error, 'REDIS_UNAVAILABLE') && databaseRefusal(redis) === null ? await findRefusal(redis, settings, error) : null;
    if (findings === null) throw error;
    return { ...NO_FLEET, checks: findings.checks, topology: findings.report };
  } finally {
    hangUp(redis);
  }
}

async function examineServers(redis: RedisConnection, settings: ConnectedSettings): Promise<DoctorReport> {
  const keys = createKeys(settings.keyPrefix, settings.cluster);
  const servers = await openServers(redis);
  // Without INFO, no other check is possible.
  if (servers.some(({ info }) => info.size === 0))
    return { ...NO_FLEET, checks: [await checkPermissions(redis, servers, keys)], topology: null };
  const { report: topology, checks: about, usable } = await checkTopology(redis, servers, settings);
  if (!usable) return { ...NO_FLEET, checks: about, topology };
  const checks = [
    ...about,
    ...(await checkRedis(redis, servers, settings)),
    await checkPermissions(redis, servers, keys),
    await checkWrite(redis, keys),
  ];
  const unreadable = new Findings();
  const fleet = await checkFleet({ redis, keys, unreadable }, settings).catch((error: unknown) => ({
    ...NO_FLEET,
    checks: [notReadable(error)],
  }));
  const records = await checkRecords({ redis, keys, unreadable }).catch((error: unknown) => [notReadable(error)]);
  return { ...fleet, checks: [...checks, ...fleet.checks, ...records], topology };
}

/**
 * Finds out why Redis refused a connection, such as wrong settings or data that is still loading. Returns null if no server
 * answers at all.
 */
export async function findRefusal(
  redis: RedisConnection,
  settings: ConnectedSettings,
  error: Error,
): Promise<{ readonly checks: readonly Check[]; readonly report: TopologyReport | null } | null> {
  const why = reasonOf(error.cause);
  const topology = topologyOf(settings);
  const advice = adviceFor(redis, why);
  if (topology.kind === 'sentinel') {
    const { checks, report } = await checkSentinels(topology, settings, null);
    if (
      report.kind !== 'sentinel' ||
      report.sentinels.every(({ answers, error: said }) => !answers && adviceFor(redis, said ?? '') === null)
    )
      return null;
    const failed = checks.some(({ level }) => level === 'fail')
      ? []
      : [
          fail(
            NAME,
            `${describeConnection(redis)}: ${why}`,
            advice ?? 'The sentinels answer, but their master does not: wait for a failover, or check its log.',
          ),
        ];
    return { checks: [...failed, ...checks], report };
  }
  if (advice !== null) return { checks: [fail(NAME, `${describeConnection(redis)}: ${why}`, advice)], report: null };
  const loading = topology.kind === 'standalone' ? await findLoading(topology.address, settings) : null;
  return loading === null
    ? null
    : { checks: [fail(NAME, `${describeConnection(redis)} ${loading}`, 'Wait until Redis has loaded its data.')], report: null };
}

/** Detects a server that is loading: it accepts connections but answers only INFO. */
async function findLoading(address: Address, settings: ConnectedSettings): Promise<string | null> {
  const options = {
    ...address,
    ...serverOptions({ settings, policy: 'fail-fast', name: 'taskfleet:doctor' }),
    lazyConnect: true,
    enableReadyCheck: false,
    commandTimeout: PROBE_MS,
    retryStrategy: () => null,
  };
  const probe = new Redis(options);
  probe.on('error', () => undefined);
  try {
    await probe.connect();
    const info = parseInfo(await probe.info('persistence'));
    return info.get('loading') === '1' ? `is loading its data: ${info.get('loading_loaded_perc') ?? '?'} %` : null;
  } catch (error) {
    return messageOf(error).startsWith('LOADING') ? 'is loading its data' : null;
  } finally {
    probe.disconnect();
  }
}
