import type { Producer } from '../producer/index.js';
import { storeOf } from '../producer/store-of.js';
import { FleetError, isFleetError } from '../shared/errors.js';
import { shortened } from '../shared/limits.js';
import { type LogLosses, NO_LOSSES } from '../shared/log-sink.js';
import { readReconcile } from '../shared/records/reconcile.js';
import type { Store } from '../shared/store.js';
import { type Beats, readBeats } from './metrics/beats.js';
import { readMemory } from './metrics/redis-memory.js';
import { reachRedis } from './reach-redis.js';
import { within } from './within.js';

export interface ReadinessCheck {
  readonly name: 'redis' | 'eviction' | 'workers' | 'listeners' | 'queues' | 'reconciler' | 'log';
  readonly ok: boolean;
  readonly detail: string;
}

/**
 * - `ready`: nothing is wrong.
 * - `degraded`: this process does its work, and something in the fleet is wrong.
 * - `unready`: this process cannot do its work.
 */
export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'unready';
  readonly checks: readonly ReadinessCheck[];
}

/** Of two seconds, with room to answer. */
const LIMIT_MS = 1_700;
/** Six times the default of RECONCILE_INTERVAL_MS, for workers may have another one than this process. */
const OVERDUE_MS = 60_000;
/** Characters of what is said about broken queues. */
const LONGEST_DETAIL = 2_000;
/** Of what a worker says of its log. */
const LONGEST_REASON = 100;

/**
 * Only what this process cannot do without makes it unready: Redis. Without workers it still takes tasks and stops, and
 * taking it out of service would cure nothing. Never rejects.
 * @param losses of the log of this process
 */
export async function checkReadiness(producer: Producer, losses: LogLosses = NO_LOSSES): Promise<Readiness> {
  try {
    const checks = await within(LIMIT_MS, checkFleet(producer, losses), () => new FleetError('REDIS_UNAVAILABLE', 'Redis is too slow.'));
    return { status: checks.every(({ ok }) => ok) ? 'ready' : 'degraded', checks };
  } catch (error) {
    // Not the error's own text, which says where Redis is.
    const detail = isFleetError(error, 'CLOSED') ? 'closed: this process shuts down' : 'did not answer in time';
    return { status: 'unready', checks: [{ name: 'redis', ok: false, detail }] };
  }
}

async function checkFleet(producer: Producer, losses: LogLosses): Promise<ReadinessCheck[]> {
  await reachRedis(producer);
  const store = storeOf(producer);
  const [eviction, beats, reconciled] = await Promise.all([checkEviction(store), readBeats(store), readReconcile(store)]);
  return [
    { name: 'redis', ok: true, detail: 'answers' },
    eviction,
    checkWorkers(beats),
    checkListeners(beats),
    checkQueues(beats),
    checkReconciler(beats, reconciled?.at ?? null, store.clock.now()),
    checkLog(losses, beats),
  ];
}

async function checkEviction(store: Store): Promise<ReadinessCheck> {
  const { policy } = await readMemory(store);
  const ok = policy === 'noeviction';
  return { name: 'eviction', ok, detail: ok ? policy : `maxmemory-policy is ${policy}: a Redis that is short of memory would drop tasks` };
}

function checkWorkers({ alive, silent }: Beats): ReadinessCheck {
  const gone = silent === 0 ? '' : `, ${silent} fell silent within the last hour`;
  return { name: 'workers', ok: alive.length > 0, detail: `${alive.length} alive${gone}` };
}

function checkListeners({ alive }: Beats): ReadinessCheck {
  const deaf = alive.filter(({ subscribed }) => !subscribed).length;
  return {
    name: 'listeners',
    ok: deaf === 0,
    detail: deaf === 0 ? 'every worker hears stop commands' : `${deaf} of ${alive.length} workers find stops by polling only`,
  };
}

function checkLog({ lost, error }: LogLosses, { alive }: Beats): ReadinessCheck {
  const here =
    lost === 0 ? [] : [`lines of this process that were lost: ${lost}${error === null ? '' : `; none can be written now: ${error}`}`];
  const mute = alive.filter(({ logError }) => logError !== null);
  const elsewhere =
    mute.length === 0
      ? []
      : [`${mute.length} of ${alive.length} workers cannot write their log: ${mute[0]?.logError?.slice(0, LONGEST_REASON)}`];
  return { name: 'log', ok: error === null && mute.length === 0, detail: [...here, ...elsewhere].join('; ') || 'every line is written' };
}

function checkQueues({ alive }: Beats): ReadinessCheck {
  const broken = new Map(alive.flatMap((beat) => beat.broken.map(({ queue, problem }) => [queue, problem])));
  const detail = [...broken].map(([queue, problem]) => `nothing is fetched from queue ${queue}: ${problem}`).join('; ');
  return {
    name: 'queues',
    ok: broken.size === 0,
    detail: broken.size === 0 ? 'workers fetch from all of theirs' : shortened(detail, LONGEST_DETAIL),
  };
}

function checkReconciler({ alive }: Beats, last: number | null, now: number): ReadinessCheck {
  const name = 'reconciler';
  const detail = last === null ? 'has not run yet' : `last run ${Math.round((now - last) / 1_000)} s ago`;
  // Workers run it: those that have just started may not have come to it.
  const expected = alive.some(({ startedAt }) => now - (startedAt ?? now) > OVERDUE_MS);
  return { name, ok: !expected || (last !== null && now - last <= OVERDUE_MS), detail };
}
