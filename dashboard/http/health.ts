import { Router } from 'express';
import { isFleetError } from '../../shared/errors.js';
import { shortened } from '../../shared/limits.js';
import { type LogLosses, NO_LOSSES } from '../../shared/log/log-sink.js';
import { type Suspect, describeSuspects, readLosses, suspectsOf } from '../../shared/records/losses.js';
import { RECONCILE_OVERDUE_MS, readReconcile } from '../../shared/records/reconcile.js';
import type { Store } from '../../shared/store.js';
import { type Beats, readBeats } from '../../shared/workers/heartbeats.js';
import { type Unserved, describeUnserved, readUnserved } from '../../shared/workers/unserved.js';
import { readMemory } from '../metrics/fleet-samples.js';
import { cached } from './cached.js';
import { type FleetAccess, answered, pingRedis } from './reach-redis.js';
import { sendJson } from './send-json.js';

export interface ReadinessCheck {
  readonly name: 'redis' | 'eviction' | 'workers' | 'losses' | 'listeners' | 'queues' | 'takers' | 'reconciler' | 'log';
  readonly ok: boolean;
  readonly detail: string;
}

/**
 * - `ready`: all checks pass.
 * - `degraded`: this process works, but the fleet has a problem.
 * - `unready`: this process cannot work.
 */
export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'unready';
  readonly checks: readonly ReadinessCheck[];
}

/** How long a response of `/readyz` is cached, in ms. */
const READY_MS = 1_000;

/**
 * The routes for health probes.
 * - `GET /livez`: 200 `{"status":"live"}` while the process responds. Independent of Redis: a restart would not fix Redis.
 * - `GET /readyz`: `{"status":…,"checks":[{"name","ok","detail"}]}` within two seconds: 200 for `ready` and `degraded`, 503
 *   for `unready`, see {@link checkReadiness}. Responses are cached for a second.
 */
export function healthRoutes(fleet: FleetAccess, losses?: () => LogLosses): Router {
  const router = Router({ caseSensitive: true });
  const ready = cached(READY_MS, () => checkReadiness(fleet, losses?.()));
  router.get('/livez', (_req, res) => sendJson(res, { status: 'live' }));
  router.get('/readyz', async (_req, res) => {
    const readiness = await ready();
    sendJson(res, readiness, readiness.status === 'unready' ? { status: 503, headers: { 'Retry-After': '2' } } : {});
  });
  return router;
}

/** Leaves time to respond within two seconds. */
const LIMIT_MS = 1_700;
/** Maximum length of the detail about broken queues. */
const LONGEST_DETAIL = 2_000;
/** Maximum length of a worker's log error. */
const LONGEST_REASON = 100;

/**
 * Checks the fleet. Only a missing Redis makes this process unready: without workers it still accepts tasks and stops, and taking it
 * out of service would not help. Never rejects.
 * @param losses log lines that this process lost
 */
export async function checkReadiness(fleet: FleetAccess, losses: LogLosses = NO_LOSSES): Promise<Readiness> {
  try {
    const checks = await answered(LIMIT_MS, checkFleet(fleet, losses));
    return { status: checks.every(({ ok }) => ok) ? 'ready' : 'degraded', checks };
  } catch (error) {
    // The error's message would disclose the address of Redis.
    const detail = isFleetError(error, 'CLOSED') ? 'closed: this process is shutting down' : 'did not answer in time';
    return { status: 'unready', checks: [{ name: 'redis', ok: false, detail }] };
  }
}

async function checkFleet({ producer, store }: FleetAccess, losses: LogLosses): Promise<ReadinessCheck[]> {
  await pingRedis(producer);
  const [eviction, beats, reconciled, lost] = await Promise.all([
    checkEviction(store),
    readBeats(store),
    readReconcile(store),
    readLosses(store),
  ]);
  return [
    { name: 'redis', ok: true, detail: 'answers' },
    eviction,
    checkWorkers(beats),
    checkLosses(suspectsOf(lost, store.clock.now())),
    checkListeners(beats),
    checkQueues(beats),
    checkTakers(beats, await readUnserved(store, beats.alive)),
    checkReconciler(beats, reconciled?.at ?? null, store.clock.now()),
    checkLog(losses, beats),
  ];
}

async function checkEviction(store: Store): Promise<ReadinessCheck> {
  const { policy } = await readMemory(store);
  const ok = policy === 'noeviction';
  return { name: 'eviction', ok, detail: ok ? policy : `maxmemory-policy is ${policy}, expected noeviction: Redis may evict tasks` };
}

function checkWorkers({ alive, silent }: Beats): ReadinessCheck {
  const lost = silent === 0 ? '' : `, ${silent} lost within the last hour`;
  return { name: 'workers', ok: alive.length > 0, detail: `${alive.length} alive${lost}` };
}

function checkLosses(suspects: readonly Suspect[]): ReadinessCheck {
  return { name: 'losses', ok: suspects.length === 0, detail: describeSuspects(suspects) || 'no task lost several workers' };
}

function checkListeners({ alive }: Beats): ReadinessCheck {
  const unsubscribed = alive.filter(({ subscribed }) => !subscribed).length;
  return {
    name: 'listeners',
    ok: unsubscribed === 0,
    detail:
      unsubscribed === 0
        ? 'all workers are subscribed to stop commands'
        : `${unsubscribed} of ${alive.length} workers are not subscribed and poll for stops`,
  };
}

function checkLog({ lost, error }: LogLosses, { alive }: Beats): ReadinessCheck {
  const here = lost === 0 ? [] : [`log lines lost by this process: ${lost}${error === null ? '' : `; cannot write the log: ${error}`}`];
  const failing = alive.filter(({ logError }) => logError !== null);
  const elsewhere =
    failing.length === 0
      ? []
      : [`${failing.length} of ${alive.length} workers cannot write their log: ${failing[0]?.logError?.slice(0, LONGEST_REASON)}`];
  return { name: 'log', ok: error === null && failing.length === 0, detail: [...here, ...elsewhere].join('; ') || 'writable' };
}

function checkQueues({ alive }: Beats): ReadinessCheck {
  const broken = new Map(alive.flatMap((beat) => beat.broken.map(({ queue, problem }) => [queue, problem])));
  const detail = [...broken].map(([queue, problem]) => `cannot fetch from queue ${queue}: ${problem}`).join('; ');
  return {
    name: 'queues',
    ok: broken.size === 0,
    detail: broken.size === 0 ? 'workers fetch from all queues' : shortened(detail, LONGEST_DETAIL),
  };
}

/** Without workers, the check of the workers says so. */
function checkTakers({ alive }: Beats, unserved: Unserved): ReadinessCheck {
  const detail = alive.length === 0 ? '' : describeUnserved(unserved);
  return { name: 'takers', ok: detail === '', detail: detail === '' ? 'every queue with tasks has a worker' : `no worker takes ${detail}` };
}

function checkReconciler({ alive }: Beats, last: number | null, now: number): ReadinessCheck {
  const name = 'reconciler';
  const detail = last === null ? 'has not run yet' : `last run ${Math.round((now - last) / 1_000)} s ago`;
  // Freshly started workers may not have run the reconciler yet.
  const expected = alive.some(({ startedAt }) => now - (startedAt ?? now) > RECONCILE_OVERDUE_MS);
  return { name, ok: !expected || (last !== null && now - last <= RECONCILE_OVERDUE_MS), detail };
}
