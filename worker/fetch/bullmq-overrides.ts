import type { Job, RedisQueueBackend, Worker } from 'bullmq';
import { hangUp } from '../../shared/redis/connect.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import type { StopWay } from '../../shared/stop/receipt.js';

/**
 * Every use of a member that BullMQ keeps to itself, as of this version. `test/contract/bullmq-overrides.test.ts` fails if BullMQ changes
 * the version or one of the members; the tests named below show the faults without them.
 *
 * FetchingWorker and QueueWorker override methods, which TypeScript and the same test hold to BullMQ. `settle/completion.ts` makes the
 * arguments of a completion. Producers must not import worker/, so three uses are elsewhere: the time arguments of BullMQ's scripts in
 * `shared/clock/bullmq-time.ts` (`test/contract/bullmq-time.test.ts`), the names of a queue's keys in `shared/task/queues.ts`
 * (`test/contract/bullmq.test.ts`), and BullMQ's script `reprocessJob`, run inside a transaction, in `shared/retry/task-retry.ts`
 * (`test/producer/retry/`).
 */
export const BULLMQ_VERSION = '6.7.0';

interface WorkerInternals {
  /** Whether the queue was empty at the last fetch. */
  drained: boolean;
  /** Retries after connection errors. Throws other errors, or emits them only. */
  retryIfFailed<Result>(
    attempt: () => Promise<Result>,
    options: { readonly delayInMs: number; readonly onlyEmitError: boolean },
  ): Promise<Result>;
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

/** Reads `isRateLimited`: a rate-limited worker is silent, but not stalled. Test: test/slow/worker/queue-supervisor.test.ts. */
export function isRateLimited(worker: Worker): boolean {
  return internalsOf(worker).isRateLimited();
}

/**
 * Takes the fetched jobs that have not started out of `mainLoopQueue`: the fetch loop of a stalled worker may hang, and they are active.
 * Test: test/slow/worker/queue-supervisor.test.ts.
 */
export async function takeFetchedJobs(worker: Worker): Promise<Job[]> {
  const { mainLoopQueue } = internalsOf(worker);
  if (!mainLoopQueue) return [];
  const jobs = await Promise.all(Array.from({ length: mainLoopQueue.numQueued() }, () => mainLoopQueue.fetch()));
  return jobs.filter((job) => job !== undefined);
}

/**
 * Wakes a fetch loop that waits for a running job to end, as BullMQ's `resume` does by `mainLoopQueue`: it looks at a new concurrency only
 * after that. Test: test/slow/worker/queue-supervisor.test.ts.
 */
export function wakeFetchLoop(worker: Worker): void {
  internalsOf(worker).mainLoopQueue?.add(Promise.resolve());
}

/**
 * Returns the connection that waits for jobs, ready or not: its events are signs of life, and `close` waits for it while Redis is away.
 * Reads `_client` of `blockingConnection`. Test: test/slow/worker/queue-supervisor.test.ts.
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

/**
 * Settles a job by `retryIfFailed`: after connection errors, again. Other errors are thrown, or emitted only.
 * Test: test/contract/bullmq-overrides.test.ts.
 */
export function retryIfFailed<Result>(worker: Worker, settle: () => Promise<Result>, { onlyEmitError = false } = {}): Promise<Result> {
  return internalsOf(worker).retryIfFailed(settle, { delayInMs: worker.opts.runRetryDelay as number, onlyEmitError });
}

/** Does what BullMQ does once it has made a fetched job: clears `drained` and emits `active`. Test: test/contract/bullmq-overrides.test.ts. */
export function noteFetched(worker: Worker, job: Job): void {
  internalsOf(worker).drained = false;
  worker.emit('active', job, 'waiting');
}

type Wait = RedisQueueBackend['waitForJob'];

/** Replaces `waitForJob`, which has no event for the end of a wait. Test: test/slow/worker/queue-supervisor.test.ts. */
export function wrapWait(worker: Worker, wrap: (wait: Wait) => Wait): void {
  const backend = worker.getBackend();
  backend.waitForJob = wrap(backend.waitForJob.bind(backend));
}

type StalledCheck = RedisQueueBackend['moveStalledJobsToWait'];

/** Replaces `moveStalledJobsToWait`, the check for stalled jobs. Test: test/worker/fetch/worker-loss.test.ts. */
export function wrapStalledCheck(worker: Worker, wrap: (check: StalledCheck) => StalledCheck): void {
  const backend = worker.getBackend();
  backend.moveStalledJobsToWait = wrap(backend.moveStalledJobsToWait.bind(backend));
}

/** Makes `lockManager` renew a job's lock again, while the job is being settled. Test: test/worker/fetch/refused.test.ts. */
export function trackLock(worker: Worker, id: string, token: string, at: number): void {
  internalsOf(worker).lockManager.trackJob(id, token, at);
}

/** Ends the renewals of a job's lock by `lockManager`. Test: test/worker/fetch/refused.test.ts. */
export function untrackLock(worker: Worker, id: string): void {
  internalsOf(worker).lockManager.untrackJob(id);
}

/** Releases the timer and the blocking connection, which keep the process alive. Test: test/slow/worker/shutdown.test.ts. */
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
 *    Test: test/worker/fetch/lock/lock.test.ts.
 * 2. `extendLocks`: a lock holds from the moment its renewal was sent, which `onRenewed` gets: after a freeze of this process, the answer
 *    may be read much later. Test: test/slow/worker/lock-clock.test.ts.
 * 3. `startLockExtenderTimer`: BullMQ decides by wall-clock time which locks to renew: if that clock is set back, locks expire. This renews
 *    the locks that were tracked at the previous turn. Test: test/slow/worker/schedule-clock.test.ts.
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

/** Our command around BullMQ's script `moveToFinished`: see `defineFinishes`. */
export const END_STOPPED = 'endStopped';

/** Scripts that return the next job. */
const FETCHING_SCRIPTS: ReadonlySet<string> = new Set(['moveToActive', 'moveToFinished', 'moveToDelayed']);

/**
 * Shows `onFetched` each fetched job's fields and values, to be changed in place, before BullMQ parses them, by way of `execCommand`: an
 * error while parsing would leave the job active without an owner. Test: test/worker/fetch/readable-jobs.test.ts.
 */
export function inspectFetchedJobs(worker: Worker, onFetched: (fields: string[], id: string) => void): void {
  const inspect = (reply: unknown): unknown => {
    if (Array.isArray(reply) && Array.isArray(reply[0])) onFetched(reply[0] as string[], reply[1] as string);
    return reply;
  };
  wrapScripts(worker, (execute) => (client, script, args) => {
    const executed = execute(client, script, args);
    if (script === END_STOPPED) return executed.then((reply) => (inspect((reply as EndedStop)[2]), reply));
    return FETCHING_SCRIPTS.has(script) ? executed.then(inspect) : executed;
  });
}

/** Calls a script of BullMQ by its name. */
export type ExecuteScript = (client: unknown, script: string, args: readonly unknown[]) => Promise<unknown>;

/** A protected method of the backend. */
interface CommandInternals {
  execCommand: ExecuteScript;
}

/** Replaces `execCommand`, by which BullMQ calls its scripts. Test: test/contract/scripts/complete-jobs.test.ts. */
export function wrapScripts(worker: Worker, wrap: (execute: ExecuteScript) => ExecuteScript): void {
  const backend = worker.getBackend() as unknown as CommandInternals;
  backend.execCommand = wrap(backend.execCommand.bind(backend));
}

/** The result of `endStopped`: see its text. */
type EndedStop = readonly [what: 'done' | 'other', stop: string | null, result?: unknown];

/** The end of a stopped run. */
interface StoppedEnd {
  /** The stop as JSON, and its text. */
  readonly stop: string;
  readonly text: string;
  readonly token: string;
  readonly via: StopWay;
  /** The keys and arguments of BullMQ's script `moveToFinished`. */
  readonly args: readonly unknown[];
}

/**
 * Records the stop of a run and fails its job by our command `endStopped`, through BullMQ's `moveToFinished`, which calls `execCommand` and
 * reads the next job. Returns the job's stop, null if the worker has lost the lock; and the reply, null if the job has another stop and was
 * not failed. Test: test/contract/scripts/fail-jobs.test.ts.
 */
export async function failStopped(
  id: string,
  backend: RedisQueueBackend,
  { stop, text, token, via, args }: StoppedEnd,
): Promise<{ stop: string | null; reply: unknown[] | null }> {
  const ended: { reply: EndedStop } = { reply: ['done', null] };
  const execCommand: CommandInternals['execCommand'] = async (client, _command, given) => {
    ended.reply = (await (backend as unknown as CommandInternals).execCommand(client, END_STOPPED, [
      ...given,
      stop,
      text,
      token,
      via,
    ])) as EndedStop;
    return ended.reply[2];
  };
  const calling = Object.create(backend, { execCommand: { value: execCommand } }) as RedisQueueBackend;
  const reply = await calling.moveToFinished(id, [...args] as Parameters<RedisQueueBackend['moveToFinished']>[1]);
  const [what, kept] = ended.reply;
  return { stop: kept, reply: what === 'other' ? null : (reply ?? []) };
}
