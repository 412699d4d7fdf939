import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { Service } from '../../shared/process/service.js';
import type { Store } from '../../shared/store.js';
import type { Run } from '../run/run.js';
import type { FleetJob } from './fleet-job.js';

interface OutageReportOptions {
  readonly store: Store;
  readonly workerId: string;
  readonly lockMs: number;
  /** Returns the names of the queues that are fetched from. */
  readonly queues: () => readonly string[];
  /** Returns the jobs being run or settled. */
  readonly held: () => readonly FleetJob[];
  readonly logger: Logger;
}

/** A run to give up: of a held job, or one that was fetched without an answer. */
type GivenUp = Pick<FleetJob, 'id' | 'queueName' | 'attemptsStarted'> & { readonly run: Pick<Run, 'token'> | null };

/** Time for the answers to the commands that are sent again after a reconnect, in ms; at most a quarter of a lock. */
const ANSWERS_MS = 1_000;
/** Active jobs examined per queue. */
const MAX_ACTIVE = 1_000;

/**
 * Reports, after each reconnect, the runs whose locks expired while the connection was away, and the jobs that were fetched when the
 * connection broke, so that the answer was lost: this worker lives, so that their stalls count as no lost workers. A process that was
 * frozen notices the end of its connection only afterwards, and reports no expired locks.
 */
export class OutageReport extends Service {
  /** When the connection ended, by performance.now; null while there is one. */
  #closedAt: number | null = null;
  readonly #onClose = (): void => void (this.#closedAt ??= performance.now());
  readonly #stopping = new AbortController();
  readonly #onReady = (): void => {
    if (this.#closedAt !== null) void this.#reportLostFetches();
    void this.#report();
  };

  constructor(private readonly options: OutageReportOptions) {
    super();
  }

  protected override onStart(): Promise<void> {
    const { redis } = this.options.store;
    redis.on('close', this.#onClose);
    redis.on('ready', this.#onReady);
    return Promise.resolve();
  }

  protected override onStop(): Promise<void> {
    const { redis } = this.options.store;
    redis.off('close', this.#onClose);
    redis.off('ready', this.#onReady);
    this.#stopping.abort();
    return Promise.resolve();
  }

  async #reportLostFetches(): Promise<void> {
    const { store, workerId, lockMs, queues, held, logger } = this.options;
    const since = store.clock.now();
    try {
      await delay(Math.min(ANSWERS_MS, lockMs / 4), undefined, { signal: this.#stopping.signal });
      const ids = new Set(held().map(({ id }) => id as string));
      const lost = await Promise.all(queues().map((queue) => lostFetches(store, queue, { workerId, since, held: ids })));
      const given = await Promise.all(lost.flat().map((job) => giveUpRun(job, store)));
      const tasks = given.reduce((sum, one) => sum + one, 0);
      if (tasks > 0)
        logger.warn({ tasks }, 'The answers to fetches were lost with the connection; these tasks will run once their locks expire');
    } catch (error) {
      if (!this.#stopping.signal.aborted)
        logger.debug({ error: messageOf(error) }, 'Could not look for fetches without an answer; their tasks count as lost');
    }
  }

  async #report(): Promise<void> {
    const closedAt = this.#closedAt;
    this.#closedAt = null;
    if (closedAt === null) return;
    const { store, held, logger } = this.options;
    const lost = held().filter(({ run }) => run?.expiredSince(closedAt));
    if (lost.length === 0) return;
    try {
      const given = await Promise.all(lost.map((job) => giveUpRun(job, store)));
      const tasks = given.reduce((sum, one) => sum + one, 0);
      if (tasks > 0) logger.warn({ tasks }, 'Redis was away for longer than a lock; these tasks lost their locks, and may run again');
    } catch (error) {
      logger.warn({ tasks: lost.length, error: messageOf(error) }, 'Could not report tasks that lost their locks; they count as lost');
    }
  }
}

/** Returns the active jobs of a queue that this worker fetched before `since`, in ms since the epoch, and does not hold. */
async function lostFetches(
  { redis, keys, queues }: Store,
  queue: string,
  { workerId, since, held }: { readonly workerId: string; readonly since: number; readonly held: ReadonlySet<string> },
): Promise<GivenUp[]> {
  const [active] = queues.scriptKeys(queue, 'active');
  const ids = (await redis.lrange(active as string, 0, MAX_ACTIVE - 1)).filter((id) => !held.has(id));
  const jobs = await Promise.all(ids.map((id) => redis.hmget(keys.jobs(queue) + id, 'pb', 'processedOn', 'ats')));
  return ids.flatMap((id, index) => {
    const [worker, processedOn, started] = jobs[index] ?? [];
    const isLost = worker === workerId && Number(processedOn) < since;
    return isLost ? [{ id, queueName: queue, attemptsStarted: Number(started), run: null }] : [];
  });
}

/** Notes that a run's lock expired although its worker lives, so that the stall of its job is no loss. Returns 1 if it was noted, else 0. */
export function giveUpRun(
  { id, queueName, attemptsStarted, run }: GivenUp,
  { redis, keys, queues, clock }: Pick<Store, 'redis' | 'keys' | 'queues' | 'clock'>,
): Promise<number> {
  const job = keys.jobs(queueName) + (id as string);
  const [active] = queues.scriptKeys(queueName, 'active');
  return redis.giveUp(job, `${job}:lock`, active as string, id as string, attemptsStarted, run?.token ?? '', clock.now());
}
