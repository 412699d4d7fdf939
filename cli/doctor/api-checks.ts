import type { Difference, Worker } from '../../dashboard/api/routes/fleet/workers.js';
import type { FleetStatus } from '../../dashboard/api/routes/status.js';
import type { Readiness, ReadinessCheck } from '../../dashboard/http/health.js';
import { formatMs } from '../../shared/time.js';
import type { ApiConnection } from '../client/http-connection.js';
import { type Check, fail, ok, warn } from './check.js';
import { type FleetReport, checkPauses } from './fleet-checks.js';
import { type WorkerInfo, checkDefinitions, checkWorkers } from './worker-checks.js';

/** Workers that died within this time are reported, in ms. */
const SILENT_MS = 3_600_000;
const NOT_CHECKED = "Redis' version, persistence, latency and clock, the oldest task's age, limits, unreadable records: use doctor --redis";
const ADVICE: Readonly<Partial<Record<ReadinessCheck['name'], string>>> = {
  redis: "The dashboard cannot reach its Redis. Check Redis and the dashboard's log.",
  eviction: 'Set maxmemory-policy noeviction in redis.conf, and until the next restart: redis-cli config set maxmemory-policy noeviction',
  takers: 'Start a worker that takes them, or resume a drained one: taskfleet worker list.',
  queues: 'Move the key away with the command above; the reconciler then requeues the tasks.',
  reconciler: "Tasks of dead workers stay listed until it runs again. Check the workers' logs.",
};

/** Runs the checks of `checkRedis` and `checkFleet` that are possible over the API. */
export async function checkApi(connection: ApiConnection): Promise<FleetReport> {
  const sentAt = performance.now();
  const readiness = await connection.askReadiness(({ status, checks }: Readiness) => ({ status, checks: checks.map(checkOf) }));
  const api = ok('api', `answers in ${formatMs(performance.now() - sentAt)}: ${readiness.status}`);
  // The worker checks below are more detailed than the dashboard's summary.
  const checks = readiness.checks.filter(({ name }) => name !== 'workers' && name !== 'listeners');
  if (readiness.status === 'unready') return { checks: [api, ...checks], workers: [], reconcile: null };
  const now = Date.now();
  const { beats, differences } = await connection.ask('/workers', (body: { workers: Worker[]; differences: Difference[] }) => ({
    beats: body.workers.map(({ ...worker }) => worker),
    differences: body.differences.map(({ ...difference }) => difference),
  }));
  const paused = await connection.ask('/status', ({ paused_queues: queues }: FleetStatus) => queues.map((queue) => ({ ...queue })));
  const pauses = new Map(paused.map(({ name, by, at, reason }) => [name, { by, at: at === null ? null : new Date(at), reason }]));
  const silent = beats.filter(({ alive, beat_at: at }) => !alive && at !== null && now - Date.parse(at) <= SILENT_MS).length;
  const workers = beats.filter(({ alive }) => alive).map((worker) => workerOf(worker, now));
  // Only needed if no worker is alive.
  const live =
    workers.length > 0 ? 0 : await connection.ask('/tasks', ({ tasks }: { tasks: unknown[] }) => tasks.length, { query: { limit: 1_000 } });
  const about = checkWorkers(workers, { silent, live, channel: 'the channel of stop messages' });
  return {
    checks: [api, ...checks, ...checkPauses(pauses, now), ...about, ...checkDefinitions(differences), ok('not checked', NOT_CHECKED)],
    workers,
    reconcile: null,
  };
}

function checkOf({ name, ok: fine, detail }: ReadinessCheck): Check {
  if (fine) return ok(name, detail);
  const advice = ADVICE[name] ?? 'See docs/reference/http.md.';
  return name === 'reconciler' ? warn(name, detail, advice) : fail(name, detail, advice);
}

function workerOf(worker: Worker, now: number): WorkerInfo {
  const { id, host, pid, slots, running, zombies, draining, drained, subscribed, stops, started_at: startedAt, beat_at: beatAt } = worker;
  return {
    ...{ id, host: host ?? '', pid: pid ?? 0, slots: slots ?? 0, running: running.length, zombies: zombies ?? 0 },
    ...{ draining: draining ?? false, drain: drained, subscribed: subscribed ?? false },
    // The dashboard's own check reports broken queues.
    broken: [],
    stops: { count: stops ?? 0, p50Ms: worker.stop_p50_ms, p99Ms: worker.stop_p99_ms, maxMs: worker.stop_max_ms },
    upMs: startedAt === null ? 0 : Math.max(0, now - Date.parse(startedAt)),
    beatAgeMs: beatAt === null ? 0 : now - Date.parse(beatAt),
    clockMs: null,
  };
}
