import type { Worker } from '../../dashboard/api/routes/workers.js';
import type { Readiness, ReadinessCheck } from '../../dashboard/readiness.js';
import { formatMs } from '../../shared/duration.js';
import type { ApiConnection } from '../api/connection.js';
import { type Check, fail, ok, warn } from './check.js';
import { type FleetReport, type WorkerInfo, checkWorkers } from './fleet-checks.js';

const NOT_CHECKED =
  "Redis's version, persistence, latency and clock, how long tasks have waited, and which records cannot be read: the API does not tell; doctor --redis looks at them";
const ADVICE: Readonly<Partial<Record<ReadinessCheck['name'], string>>> = {
  redis: "The dashboard does not reach its Redis. Look at Redis, and at the dashboard's log.",
  eviction: 'Set maxmemory-policy noeviction in redis.conf, and now: redis-cli config set maxmemory-policy noeviction',
  queues: 'Move the key away by the command above; the reconciler puts back what waited.',
  reconciler: "What a dead process left behind stays listed until it runs again. Look at the workers' logs.",
};

/** The same as `checkRedis` and `checkFleet`, as far as the API tells. Without Redis the workers are not known either. */
export async function checkApi(connection: ApiConnection): Promise<FleetReport> {
  const sentAt = performance.now();
  const readiness = await connection.askReadiness(({ status, checks }: Readiness) => ({ status, checks: checks.map(checkOf) }));
  const api = ok('api', `answers in ${formatMs(performance.now() - sentAt)}: ${readiness.status}`);
  // The lines of the workers say more than the dashboard's summary of them.
  const checks = readiness.checks.filter(({ name }) => name !== 'workers' && name !== 'listeners');
  if (readiness.status === 'unready') return { checks: [api, ...checks], workers: [], reconcile: null };
  const beats = await connection.ask('/workers', ({ workers }: { workers: Worker[] }) => workers.map(({ ...worker }) => worker));
  const workers = beats.filter(({ alive }) => alive).map((worker) => workerOf(worker, Date.now()));
  // Of interest only if nobody takes them.
  const live =
    workers.length > 0 ? 0 : await connection.ask('/tasks', ({ tasks }: { tasks: unknown[] }) => tasks.length, { query: { limit: 1_000 } });
  const about = checkWorkers(workers, { silent: beats.length - workers.length, live, channel: 'the channel of stop messages' });
  return { checks: [api, ...checks, ...about, ok('not checked', NOT_CHECKED)], workers, reconcile: null };
}

function checkOf({ name, ok: fine, detail }: ReadinessCheck): Check {
  if (fine) return ok(name, detail);
  const advice = ADVICE[name] ?? 'See docs/http.md.';
  return name === 'reconciler' ? warn(name, detail, advice) : fail(name, detail, advice);
}

function workerOf(worker: Worker, now: number): WorkerInfo {
  const { id, host, pid, slots, running, zombies, draining, subscribed, stops, started_at: startedAt, beat_at: beatAt } = worker;
  return {
    ...{ id, host: host ?? '', pid: pid ?? 0, slots: slots ?? 0, running: running.length, zombies: zombies ?? 0 },
    ...{ draining: draining ?? false, subscribed: subscribed ?? false },
    // A check of the dashboard's has them.
    broken: [],
    stops: { count: stops ?? 0, p50Ms: worker.stop_p50_ms, p99Ms: worker.stop_p99_ms, maxMs: worker.stop_max_ms },
    upMs: startedAt === null ? 0 : Math.max(0, now - Date.parse(startedAt)),
    beatAgeMs: beatAt === null ? 0 : now - Date.parse(beatAt),
    clockMs: null,
  };
}
