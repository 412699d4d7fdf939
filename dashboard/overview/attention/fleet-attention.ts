import type { Suspect } from '../../../shared/records/losses.js';
import { RECONCILE_OVERDUE_MS } from '../../../shared/records/reconcile.js';
import { formatLong } from '../../../shared/time.js';
import { type RedisState, shareUsed } from '../redis-state.js';
import { type Attention, critical, several, taskLink, tasksLink, warning } from './attention.js';

/** The facts about a worker that matter here. */
export interface WorkerFacts {
  readonly id: string;
  readonly alive: boolean;
  readonly host: string | null;
  readonly pid: number | null;
  readonly subscribed: boolean | null;
  readonly broken: readonly { readonly queue: string; readonly problem: string }[];
  readonly startedAt: Date | null;
  readonly beatAt: Date | null;
  readonly problem: string | null;
}

export interface FleetFacts {
  /** In ms since the epoch. */
  readonly now: number;
  readonly workers: readonly WorkerFacts[];
  /** Definitions that differ between processes, and the options that do. */
  readonly differences: readonly { readonly name: string; readonly fields: readonly string[] }[];
  readonly redis: RedisState;
  /** End of the reconciler's last run, in ms since the epoch; null for none. */
  readonly reconciledAt: number | null;
  readonly suspects: readonly Suspect[];
}

const NEARLY_FULL = 0.9;
/** A worker that has been silent for longer is no news. */
const SILENT_MS = 3_600_000;
const MOST_NAMED = 5;

/** Reports problems of Redis, the workers and the reconciler. */
export function fleetAttention(facts: FleetFacts): Attention[] {
  return [...ofRedis(facts), ...ofWorkers(facts), ...ofReconciler(facts), ...ofLosses(facts)];
}

/** Whether a worker went silent within the last hour, without a shutdown. */
export function isSilent({ alive, problem, beatAt }: WorkerFacts, now: number): boolean {
  return !alive && problem === null && beatAt !== null && now - beatAt.getTime() < SILENT_MS;
}

function ofRedis({ redis: { memory, refusal } }: FleetFacts): Attention[] {
  const found: Attention[] = [];
  const share = shareUsed(memory);
  if (refusal !== null) found.push(critical('redis_refuses', `Redis refuses writes: ${refusal}`));
  if (share >= 1) found.push(critical('redis_memory', 'Redis is full and refuses new tasks: raise maxmemory or shorten retentions'));
  else if (share >= NEARLY_FULL) {
    const percent = Math.floor(share * 100);
    found.push(warning('redis_memory', `Redis uses ${percent} % of its memory limit; when full, it refuses new tasks`));
  }
  if (memory.policy !== 'noeviction' && memory.policy !== 'unknown')
    found.push(critical('redis_evicts', `Redis may evict tasks: maxmemory-policy is ${memory.policy}, expected noeviction`));
  return found;
}

function ofWorkers({ workers, differences, now }: FleetFacts): Attention[] {
  const link = '/workers';
  const alive = workers.filter((worker) => worker.alive);
  const silent = workers.filter((worker) => isSilent(worker, now));
  const deaf = alive.filter(({ subscribed }) => subscribed === false);
  const broken = new Map(alive.flatMap((worker) => worker.broken.map(({ queue, problem }) => [queue, problem] as const)));
  const found: Attention[] = [];
  if (alive.length === 0) found.push(critical('no_workers', 'No worker is alive: no task runs until one starts', link));
  if (silent.length > 0) {
    const text = `${several(silent.length, 'worker')} went silent without a shutdown: ${named(silent, now)}`;
    found.push(warning('silent_worker', text, link));
  }
  if (deaf.length > 0) {
    const text = `${several(deaf.length, 'worker')} not subscribed to stop commands, so that stops take longer: ${named(deaf, now)}`;
    found.push(warning('unsubscribed_worker', text, link));
  }
  for (const [queue, problem] of broken)
    found.push(critical('broken_queue', `Workers cannot fetch from ${queue}: ${problem}`, tasksLink({ queue })));
  if (differences.length > 0) {
    const names = differences.map(({ name, fields }) => (fields.length === 0 ? name : `${name} (${fields.join(', ')})`));
    found.push(warning('definitions_differ', `Definitions differ between processes: ${listed(names)}`, link));
  }
  return found;
}

function ofReconciler({ workers, reconciledAt, now }: FleetFacts): Attention[] {
  const upMs = Math.max(0, ...workers.flatMap(({ alive, startedAt }) => (alive && startedAt ? [now - startedAt.getTime()] : [])));
  const idleMs = reconciledAt === null ? upMs : now - reconciledAt;
  // Freshly started workers may not have run it yet.
  if (upMs <= RECONCILE_OVERDUE_MS || idleMs <= RECONCILE_OVERDUE_MS) return [];
  const last = reconciledAt === null ? 'has never run' : `has not run for ${formatLong(idleMs)}`;
  return [critical('no_reconcile', `The reconciler ${last}: the effects of crashes are not repaired`, '/schedules')];
}

function ofLosses({ suspects }: FleetFacts): Attention[] {
  return suspects.map(({ name, task, workers }) => {
    const subject = task === null ? `Tasks of ${name}` : `A task of ${name}`;
    const link = task === null ? tasksLink({ state: 'all', name }) : taskLink(task);
    return warning('lost_workers', `${subject} cost ${several(workers, 'worker')} within the last hour`, link);
  });
}

function named(workers: readonly WorkerFacts[], now: number): string {
  return listed(
    workers.map(({ id, host, pid, alive, beatAt }) => {
      const where = host === null ? id : `${host}${pid === null ? '' : ` (pid ${pid})`}`;
      return alive || beatAt === null ? where : `${where} ${formatLong(now - beatAt.getTime())} ago`;
    }),
  );
}

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
