import { type Check, fail, ok, warn } from './check.js';
import { parseInfo, parsePairs } from './redis-info.js';
import type { ClusterReport, Server, TopologyFindings } from './topology-report.js';

const SLOTS = 16_384;

/** @param servers the masters found by the connection */
export async function checkCluster(servers: readonly Server[]): Promise<TopologyFindings> {
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
