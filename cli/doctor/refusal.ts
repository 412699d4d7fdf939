import { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import { adviceFor, reasonOf } from '../../shared/redis/connection-errors.js';
import { serverOptions } from '../../shared/redis/connect.js';
import { type RedisConnection, describeConnection } from '../../shared/redis/connection.js';
import { type Address, type ConnectedSettings, topologyOf } from '../../shared/redis/topology.js';
import { type Check, fail } from './check.js';
import { parseInfo } from './redis-info.js';
import { checkSentinels } from './sentinel-topology.js';
import type { TopologyReport } from './topology-report.js';

const NAME = 'connection';
const PROBE_MS = 2_000;

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
