import type { Worker } from 'bullmq';
import { ATTEMPT_FIELDS, parseAttempts } from '../../shared/attempt/attempt.js';
import { messageOf } from '../../shared/errors.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import { type WorkerLoss, writeLosses } from '../../shared/records/losses.js';
import type { Store } from '../../shared/store.js';
import { wrapStalledCheck } from './bullmq-overrides.js';

/** How long after a connect a worker leaves stalled tasks alone, in ms: longer than the others need to reconnect. Never longer than a lock. */
const LONGEST_PAUSE_MS = 5_000;
const REPEAT_LOG_MS = 60_000;
/** How far the fleet clock may be ahead of Redis', in ms. */
const TOLERANCE_MS = 1_000;

interface StalledCheckOptions {
  readonly store: Store;
  readonly queue: string;
  readonly lockMs: number;
  readonly logger: Logger;
}

/**
 * Makes a worker's check for stalled jobs tell which workers were lost, and pauses the check after each connect.
 *
 * After Redis was away from all workers, all locks have expired, and the first worker that reconnects would count every running task as
 * lost. The pause gives the others time to report that they live.
 */
export function controlStalledCheck(worker: Worker, options: StalledCheckOptions): void {
  const { store, lockMs, logger } = options;
  const lines = new RepeatedLines(logger, { intervalMs: REPEAT_LOG_MS });
  const pauseMs = Math.min(LONGEST_PAUSE_MS, lockMs);
  let connectedAt = performance.now();
  const onReady = (): void => void (connectedAt = performance.now());
  store.redis.on('ready', onReady);
  worker.once('closed', () => store.redis.off('ready', onReady));
  wrapStalledCheck(worker, (check) => async () => {
    if (performance.now() - connectedAt < pauseMs) return [];
    const since = store.clock.now() - TOLERANCE_MS;
    const stalled = await check();
    if (stalled.length > 0) await tell(stalled, since, lines, options);
    return stalled;
  });
}

/** Logs the stalls and records the lost workers. Never rejects: the jobs are back in the queue. */
async function tell(
  ids: readonly string[],
  since: number,
  lines: RepeatedLines,
  { store, queue, logger }: StalledCheckOptions,
): Promise<void> {
  try {
    const losses = (await Promise.all(ids.map((id) => lossOf(id, since, store, queue)))).flatMap((loss) => loss ?? []);
    const workers = new Map(losses.map(({ task, worker }) => [task, worker]));
    for (const id of ids)
      lines.warn(id, { id, queue, worker: workers.get(id) }, 'Task stalled: its worker is dead or hung; the task is back in its queue');
    if (losses.length > 0) await writeLosses(store, losses);
  } catch (error) {
    logger.warn({ queue, tasks: ids.length, error: messageOf(error) }, 'Could not record which workers were lost');
  }
}

/**
 * Reads the loss that a check found; null if the worker had reported that it lives. Another worker may have the job already, so the
 * worker comes from the attempt's record.
 */
async function lossOf(id: string, since: number, { redis, keys, clock }: Store, queue: string): Promise<WorkerLoss | null> {
  const [name, ...records] = await redis.hmget(keys.jobs(queue) + id, 'name', ...ATTEMPT_FIELDS);
  const lost = parseAttempts(records, () => undefined).findLast(({ attempt }) => attempt.outcome === 'worker_lost')?.attempt;
  if (!lost?.endedAt || lost.endedAt.getTime() < since) return null;
  return { at: clock.now(), worker: lost.worker?.id ?? null, task: id, name: name ?? '', queue };
}
