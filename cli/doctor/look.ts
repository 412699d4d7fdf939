import { isFleetError } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { createLoggerFactory } from '../../shared/logger.js';
import { Findings } from './findings.js';
import { connect, hangUp, ready } from '../../shared/redis/connect.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { databaseRefusal } from '../../shared/redis/reply-errors.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { redactUrl } from '../../shared/settings/settings.js';
import { clientSettings } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { type FleetReport, checkFleet } from './fleet-checks.js';
import { checkPermissions } from './permissions.js';
import { checkRecords } from './record-checks.js';
import { checkRedis } from './redis-checks.js';
import { findRefusal } from './refusal.js';
import type { TopologyReport } from './topology-report.js';
import { checkTopology, openServers } from './topology.js';
import { checkWrite, notReadable } from './write-check.js';

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
export async function lookAtRedis(flags: GlobalOptions, say: (line: string) => unknown): Promise<DoctorReport> {
  const settings = await clientSettings(flags);
  say(`Redis at ${redactUrl(settings.redisUrl)}, keys ${settings.keyPrefix}:*`);
  // Log lines are dropped: the checks report connection problems.
  const logger = createLoggerFactory({ settings, destination: { write: () => undefined } })('cli');
  const redis = connect({ settings, policy: 'fail-fast', logger, name: 'taskfleet:doctor' });
  try {
    await ready(redis, settings.connectTimeoutMs);
    return await lookInside(redis, settings);
  } catch (error) {
    const findings =
      isFleetError(error, 'REDIS_UNAVAILABLE') && databaseRefusal(redis) === null ? await findRefusal(redis, settings, error) : null;
    if (findings === null) throw error;
    return { ...NO_FLEET, checks: findings.checks, topology: findings.report };
  } finally {
    hangUp(redis);
  }
}

async function lookInside(redis: RedisConnection, settings: ConnectedSettings): Promise<DoctorReport> {
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
