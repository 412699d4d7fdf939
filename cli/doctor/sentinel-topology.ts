import { Redis } from 'ioredis';
import { messageOf } from '../../shared/errors.js';
import { type Address, type ConnectedSettings, type Topology, formatAddress, tlsOf } from '../../shared/redis/topology.js';
import { type Check, fail, ok, warn } from './check.js';
import { type Info, type Replica, describeReplicas, parsePairs } from './redis-info.js';
import type { SentinelAnswer, SentinelReport, TopologyFindings } from './topology-report.js';

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
