import { pauseText } from '../../dashboard/page/parts/waiting-text.js';
import { redisTime } from '../../shared/clock/fleet-clock.js';
import type { Pause } from '../../shared/queue/pause.js';
import { readPausedQueues } from '../../shared/queue/paused-queues.js';
import { isTime } from '../../shared/records/hash-reader.js';
import { type Suspect, describeSuspects, readLosses, suspectsOf } from '../../shared/records/losses.js';
import { type ReconcileRecord, readReconcile } from '../../shared/records/reconcile.js';
import type { RecordSource } from '../../shared/records/unreadable.js';
import { MAINTENANCE_QUEUE, parseSchedule } from '../../shared/schedule/schedule.js';
import { type NextRunFault, readNextRuns } from '../../shared/schedule/schedulers.js';
import { defineScripts } from '../../shared/scripts/define-scripts.js';
import type { Settings } from '../../shared/settings/settings.js';
import { readDrains } from '../../shared/workers/drains.js';
import { type WorkerRecord, readBeats } from '../../shared/workers/heartbeats.js';
import { readDifferences } from '../../shared/workers/published-definitions.js';
import { readUnserved } from '../../shared/workers/unserved.js';
import { scheduleTable } from '../../worker/schedule-planner.js';
import { oneLine } from '../text/output.js';
import { formatAge, formatAgo } from '../text/table.js';
import { type Check, ok, warn } from './check.js';
import { checkLimits } from './limit-checks.js';
import { type WorkerInfo, checkDefinitions, checkQueues, checkUnserved, checkWorkers, workerInfoOf } from './worker-checks.js';

export interface FleetReport {
  readonly checks: readonly Check[];
  readonly workers: readonly WorkerInfo[];
  /** Null if the reconciler has never finished a run. */
  readonly reconcile: ReconcileRecord | null;
}

/** Checks workers, reconciler, schedules and live tasks. */
export async function checkFleet(source: RecordSource, settings: Settings): Promise<FleetReport> {
  const { redis, keys, unreadable } = source;
  const { alive, silent } = await readBeats(source);
  const now = (await redisTime(redis, keys.tasks)) ?? Date.now();
  const drains = await readDrains(source);
  const workers = alive.map((record) => workerInfoOf(record, drains.get(record.id) ?? null, now));
  const live = await unreadable.read(keys.tasks, 'hash', redis.hlen(keys.tasks), 0);
  const [, oldest] = await unreadable.read(keys.live, 'sorted set', redis.zrange(keys.live, '0', '0', 'WITHSCORES'), []);
  const oldestAt = Number(oldest ?? Number.NaN);
  const reconcile = await readReconcile(source);
  const oldestWorkerMs = workers.length === 0 ? null : Math.max(...workers.map(({ upMs }) => upMs));
  const checks = [
    ...checkQueues(workers),
    ...checkPauses(await readPausedQueues(source), now),
    ...checkWorkers(workers, { silent, live, channel: keys.commands }),
    ...(alive.length === 0
      ? []
      : checkUnserved(await readUnserved({ ...source, redis: defineScripts(redis), clock: { now: () => now } }, alive))),
    ...checkDefinitions(
      await readDifferences(
        source,
        alive.filter(({ draining }) => draining !== true),
      ),
    ),
    ...checkLosses(suspectsOf(await readLosses(source), now)),
    checkReconciler(reconcile, oldestWorkerMs, now),
    await checkSchedules(source, settings, alive),
    ...(await checkLimits(source, now)),
    ok('tasks', live === 0 ? 'none live' : `${live} live${isTime(oldestAt) ? `, the oldest for ${formatAge(now - oldestAt)}` : ''}`),
  ];
  return { checks, workers, reconcile };
}

/** Reports paused queues. */
export function checkPauses(pauses: ReadonlyMap<string, Pause>, now: number): Check[] {
  return [...pauses].map(([queue, { by, at, reason }]) => {
    const text = pauseText({ queue, by, reason });
    const about = at === null ? ' (by another client of BullMQ)' : ` (${formatAgo(now - at.getTime())})`;
    const own = queue === MAINTENANCE_QUEUE ? 'Until then nothing is repaired after a crash. ' : '';
    return warn('paused', oneLine(`${text}${about}`), `${own}Its tasks wait. To let them start: taskfleet queue resume ${queue}`);
  });
}

/** Reports tasks that take workers down. */
export function checkLosses(suspects: readonly Suspect[]): Check[] {
  if (suspects.length === 0) return [];
  const advice =
    'They may end their process, use up its memory or block its event loop: see the log of the workers named by `taskfleet task show`. ' +
    'Isolate their handlers, or stop them.';
  return [warn('losses', describeSuspects(suspects), advice)];
}

/** Six times the default RECONCILE_INTERVAL_MS, because the workers' value may differ from the doctor's. */
const OVERDUE_MS = 60_000;
const RECONCILER = 'reconciler';

/** @param oldestWorkerMs uptime of the oldest live worker in ms, null if none is alive */
export function checkReconciler(last: ReconcileRecord | null, oldestWorkerMs: number | null, now: number): Check {
  if (last === null) {
    if (oldestWorkerMs === null || oldestWorkerMs <= OVERDUE_MS) return ok(RECONCILER, 'has not run yet');
    const advice = 'Workers take turns to run it every RECONCILE_INTERVAL_MS. Check their logs, and that their version includes it.';
    return warn(RECONCILER, `never ran, and workers have been up for ${formatAge(oldestWorkerMs)}`, advice);
  }
  const { at, removed, registered, settled } = last;
  const did = Object.entries({ removed, registered, settled }).flatMap(([what, count]) => (count === null ? [] : [`${what} ${count}`]));
  const message = `last run ${formatAgo(now - at)}${did.length === 0 ? '' : `: ${did.join(', ')}`}`;
  if (oldestWorkerMs === null || now - at <= OVERDUE_MS) return ok(RECONCILER, message);
  return warn(
    RECONCILER,
    message,
    "Tasks of dead workers stay listed until it runs again. Check the workers' logs and RECONCILE_INTERVAL_MS.",
  );
}

const SCHEDULES = 'schedules';
const WORDS: Readonly<Record<NextRunFault, string>> = {
  absent: 'no next run',
  gone: 'no next run',
  lost: 'a next run that is in no list of its queue',
  far: 'a next run more than one period away',
};
const NAMED = 5;

/**
 * Checks that each schedule has a next run within one period.
 * @param workers the live workers, which create the built-in schedules of their tasks
 */
async function checkSchedules(
  { redis, keys, unreadable }: RecordSource,
  settings: Settings,
  workers: readonly WorkerRecord[],
): Promise<Check> {
  const scripted = defineScripts(redis);
  const stored = Object.entries(await unreadable.read(keys.schedules, 'hash', redis.hgetall(keys.schedules), {})).flatMap(
    ([id, text]) => parseSchedule(id, text) ?? [],
  );
  const isHeld = (task: string): boolean => workers.some(({ definitions }) => definitions === null || Object.hasOwn(definitions, task));
  const schedules = [...scheduleTable(settings).filter(({ id }) => isHeld(id)), ...stored].sort((a, b) => (a.id < b.id ? -1 : 1));
  const now = (await redisTime(redis, keys.tasks)) ?? Date.now();
  const runs = await Promise.all(
    schedules.map(async ({ id, definition }) => ({
      id,
      run: (
        await unreadable.read(
          `${keys.jobs(definition.queue)}repeat`,
          'sorted set',
          readNextRuns(scripted, keys, definition.queue, [id], now),
          [],
        )
      )[0],
    })),
  );
  const wrong = runs.flatMap(({ id, run }) => (run?.fault ? [`${id} has ${WORDS[run.fault]}`] : []));
  if (wrong.length === 0) return ok(SCHEDULES, schedules.length === 0 ? 'none' : `${schedules.length}, each with a next run`);
  const more = wrong.length > NAMED ? `, and ${wrong.length - NAMED} more` : '';
  const advice =
    workers.length > 0
      ? "A worker repairs this within half a minute. If it persists, check the workers' logs (component schedule)."
      : 'Start workers, which repair this.';
  return warn(SCHEDULES, `${wrong.slice(0, NAMED).join('; ')}${more}`, advice);
}
