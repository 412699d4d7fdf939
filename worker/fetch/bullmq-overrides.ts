import type { Job, RedisQueueBackend, Worker } from 'bullmq';
import { hangUp } from '../../shared/redis/connect.js';
import type { RedisConnection } from '../../shared/redis/connection.js';

/**
 * Every use of a member that BullMQ keeps to itself, as of this version. `test/contract/bullmq-overrides.test.ts` fails if BullMQ changes
 * the version or one of the members; the tests named below show the faults without them.
 *
 * FetchingWorker and QueueWorker override protected methods, which TypeScript and the same test hold to BullMQ. Producers must not import
 * worker/, so three uses are elsewhere: the time arguments of BullMQ's scripts in `shared/clock/bullmq-time.ts`
 * (`test/contract/bullmq-time.test.ts`), the names of a queue's keys in `shared/task/queues.ts` (`test/contract/bullmq.test.ts`), and
 * BullMQ's script `reprocessJob`, run inside a transaction, in `producer/retry.ts` (`test/producer/retry/`).
 */
export const BULLMQ_VERSION = '6.7.0';

interface WorkerInternals {
  /** Fetched jobs that have not started, and pending fetches; null before the first fetch. */
  readonly mainLoopQueue: { fetch(): Promise<Job | undefined>; numQueued(): number; add(job: Promise<void>): void } | null;
  readonly lockManager: LockManagerInternals;
  isRateLimited(): boolean;
}

interface LockManagerInternals {
  readonly closed: boolean;
  readonly trackedJobs: ReadonlyMap<string, unknown>;
  lockRenewalTimer: NodeJS.Timeout | undefined;
  close(): Promise<void>;
  extendLocks(ids: string[]): Promise<void>;
  startLockExtenderTimer(): void;
  trackJob(id: string, token: string, at: number): void;
  untrackJob(id: string): void;
}

function internalsOf(worker: Worker): WorkerInternals {
  return worker as unknown as WorkerInternals;
}

/** Reads `isRateLimited`: a rate-limited worker is silent, but not stalled. Test: test/worker/fetch/queue-supervisor.test.ts. */
export function isRateLimited(worker: Worker): boolean {
  return internalsOf(worker).isRateLimited();
}

/**
 * Takes the fetched jobs that have not started out of `mainLoopQueue`: the fetch loop of a stalled worker may hang, and they are active.
 * Test: test/worker/fetch/queue-supervisor.test.ts.
 */
export async function takeFetchedJobs(worker: Worker): Promise<Job[]> {
  const { mainLoopQueue } = internalsOf(worker);
  if (!mainLoopQueue) return [];
  const jobs = await Promise.all(Array.from({ length: mainLoopQueue.numQueued() }, () => mainLoopQueue.fetch()));
  return jobs.filter((job) => job !== undefined);
}

/**
 * Wakes a fetch loop that waits for a running job to end, as BullMQ's `resume` does by `mainLoopQueue`: it looks at a new concurrency only
 * after that. Test: test/worker/fetch/queue-supervisor.test.ts.
 */
export function wakeFetchLoop(worker: Worker): void {
  internalsOf(worker).mainLoopQueue?.add(Promise.resolve());
}

/**
 * Returns the connection that waits for jobs, ready or not: its events are signs of life, and `close` waits for it while Redis is away.
 * Reads `_client` of `blockingConnection`. Test: test/worker/fetch/queue-supervisor.test.ts.
 */
export function blockingClient(worker: Worker): RedisConnection | null {
  const connection = worker.getBackend().blockingConnection as unknown as Readonly<Record<'_client', RedisConnection>> | undefined;
  return connection?.['_client'] ?? null;
}

/** Closes the connection that waits for jobs; BullMQ would replace it by `reconnectBlocking`. Test: see `blockingClient`. */
export function hangUpBlocking(worker: Worker): void {
  worker.getBackend().reconnectBlocking = () => Promise.resolve();
  closeBlocking(worker);
}

function closeBlocking(worker: Worker): void {
  const client = blockingClient(worker);
  if (client) hangUp(client);
}

type Wait = RedisQueueBackend['waitForJob'];

/** Replaces `waitForJob`, which has no event for the end of a wait. Test: test/worker/fetch/queue-supervisor.test.ts. */
export function wrapWait(worker: Worker, wrap: (wait: Wait) => Wait): void {
  const backend = worker.getBackend();
  backend.waitForJob = wrap(backend.waitForJob.bind(backend));
}

/** Makes `lockManager` renew a job's lock again, while the job is being settled. Test: test/worker/fetch/refused.test.ts. */
export function trackLock(worker: Worker, id: string, token: string, at: number): void {
  internalsOf(worker).lockManager.trackJob(id, token, at);
}

/** Ends the renewals of a job's lock by `lockManager`. Test: test/worker/fetch/refused.test.ts. */
export function untrackLock(worker: Worker, id: string): void {
  internalsOf(worker).lockManager.untrackJob(id);
}

/** Releases the timer and the blocking connection, which keep the process alive. Test: test/worker/shutdown.test.ts. */
export async function releaseWorker(worker: Worker): Promise<void> {
  await internalsOf(worker).lockManager.close();
  closeBlocking(worker);
  await worker.getBackend().close(true);
}

/**
 * Changes three things about how `lockManager` renews locks.
 *
 * 1. `untrackJob`: BullMQ tracks the locks by job id. When a stalled job comes back to this worker, the end of its first run would stop the
 *    renewals of the second, which would stall again, forever. So a lock stays tracked while `isActive` says that its job has a run here.
 *    Test: test/worker/fetch/lock.test.ts.
 * 2. `extendLocks`: a lock holds from the moment its renewal was sent, which `onRenewed` gets: after a freeze of this process, the answer
 *    may be read much later. Test: test/worker/fetch/lock-clock.test.ts.
 * 3. `startLockExtenderTimer`: BullMQ decides by wall-clock time which locks to renew: if that clock is set back, locks expire. This renews
 *    the locks that were tracked at the previous turn. Test: test/worker/schedules/clock.test.ts.
 */
export function controlRenewals(
  worker: Worker,
  { isActive, onRenewed }: { isActive: (id: string) => boolean; onRenewed: (id: string, sentAt: number) => void },
): void {
  const { lockManager: manager } = internalsOf(worker);
  const untrack = manager.untrackJob.bind(manager);
  manager.untrackJob = (id) => {
    if (!isActive(id)) untrack(id);
  };
  const extend = manager.extendLocks.bind(manager);
  manager.extendLocks = async (ids) => {
    const sentAt = performance.now();
    const renewed = ({ jobIds }: { jobIds: string[] }): void => jobIds.forEach((id) => onRenewed(id, sentAt));
    worker.once('locksRenewed', renewed);
    await extend(ids);
    worker.off('locksRenewed', renewed);
  };
  let seen = new Set<string>();
  manager.startLockExtenderTimer = () => {
    if (manager.closed) return;
    clearTimeout(manager.lockRenewalTimer);
    const renew = async (): Promise<void> => {
      const tracked = [...manager.trackedJobs.keys()];
      const due = tracked.filter((id) => seen.has(id));
      seen = new Set(tracked.filter((id) => !seen.has(id)));
      if (due.length > 0) await manager.extendLocks(due);
      manager.startLockExtenderTimer();
    };
    manager.lockRenewalTimer = setTimeout(() => void renew(), (worker.opts.lockRenewTime as number) / 2);
  };
}

/** Scripts that return the next job. */
const FETCHING_SCRIPTS: ReadonlySet<string> = new Set(['moveToActive', 'moveToFinished', 'moveToDelayed']);

/**
 * Shows `onFetched` each fetched job's fields and values, to be changed in place, before BullMQ parses them, by way of `execCommand`: an
 * error while parsing would leave the job active without an owner. Test: test/worker/fetch/readable-jobs.test.ts.
 */
export function inspectFetchedJobs(worker: Worker, onFetched: (fields: string[], id: string) => void): void {
  const backend = worker.getBackend() as unknown as { execCommand(client: unknown, command: string, args: unknown): Promise<unknown> };
  const execute = backend.execCommand.bind(backend);
  backend.execCommand = async (client, command, args) => {
    const reply = await execute(client, command, args);
    if (FETCHING_SCRIPTS.has(command) && Array.isArray(reply) && Array.isArray(reply[0]))
      onFetched(reply[0] as string[], reply[1] as string);
    return reply;
  };
}

/**
 * Completes a job with a result that is JSON already, by `moveToCompletedArgs`: BullMQ would serialize it again. Returns the reply and the
 * time of the end, in ms since the epoch. Test: test/worker/run/bounds.test.ts.
 */
export async function completeWithJson(
  job: Job,
  backend: RedisQueueBackend,
  { json, token, fetchNext }: { readonly json: string; readonly token: string; readonly fetchNext: boolean },
): Promise<{ reply: unknown[]; at: number }> {
  const args = backend.moveToCompletedArgs(job, json, job.opts.removeOnComplete ?? false, token, fetchNext);
  const reply = await backend.moveToFinished(job.id as string, args);
  return { reply, at: Number(args[backend.moveToFinishedKeys.length + 1]) };
}
