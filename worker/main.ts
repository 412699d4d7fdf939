import { isFleetError } from '../shared/errors.js';
import { type Logger, type LoggerFactory, logUncaught } from '../shared/logger.js';
import type { ConnectedSettings } from '../shared/store.js';
import type { ChildEnqueuer } from '../shared/task/handler.js';
import { type FleetWorker, createWorker } from './worker.js';

/** What a supervised worker process tells the process that started it, over IPC. */
export type WorkerMessage =
  | { readonly type: 'ready'; readonly id: string }
  /** It cannot start; `code` is the error's, null for an error without one. */
  | { readonly type: 'failed'; readonly code: string | null; readonly message: string };

export interface RunWorkerOptions {
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /**
   * True for a child of `taskfleet up`. Such a worker leaves Ctrl+C to its parent (a terminal sends it to both), says over
   * IPC when it takes tasks, and shuts down when its parent is gone.
   */
  readonly supervised?: boolean;
  /** What handlers enqueue with (`context.enqueue`). Default: none. */
  readonly producer?: ChildEnqueuer;
  /** Resolves with the reason if the worker is to end because what it needs is gone for good, such as an embedded Redis. */
  readonly lost?: Promise<Error> | undefined;
  /** Called last, also upon a second signal: for what is this worker's own, such as an embedded Redis. */
  readonly release?: () => Promise<void>;
}

/** Why the worker is to end, and its exit code if it then ends in peace. */
interface End {
  readonly why: string;
  readonly code: number;
}

interface EndRequests {
  readonly first: Promise<End>;
  /** The exit code of an end without peace. */
  readonly second: Promise<number>;
}

/** EX_SOFTWARE of sysexits.h. */
const EXIT_BROKEN = 70;
/** EX_UNAVAILABLE of sysexits.h. */
const EXIT_LOST = 69;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type EndSignal = keyof typeof SIGNAL_NUMBERS;

/**
 * The process side of a worker: runs one until the process is told to end, and resolves with the exit code that the
 * caller is to end the process with (abandoned handlers may keep it alive).
 *
 * SIGTERM, SIGINT and SIGHUP: a graceful shutdown, code 0. A second one does not wait for tasks: code 128+n. A third
 * one ends the process on the spot, unless there is something to release. An exception that nobody caught: a graceful shutdown, code 70. A rejection that
 * nobody handled is logged: it belongs to one handler, and its neighbours need not suffer for it.
 *
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_TASK_MODULE`; `REDIS_UNAVAILABLE` if Redis does not permit the database of
 *   REDIS_URL
 */
export async function runWorker(options: RunWorkerOptions): Promise<number> {
  const requests = listen(options);
  try {
    return await Promise.race([work(options, requests.first), requests.second]);
  } finally {
    await options.release?.();
  }
}

/** Sends a message to the process that started this one; it does not matter if that is gone. */
export function tellParent(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.send && process.connected) process.send(message, () => resolve());
    else resolve();
  });
}

async function work({ settings, loggers, producer, supervised = false }: RunWorkerOptions, asked: Promise<End>): Promise<number> {
  const logger = loggers('worker');
  const worker = await createWorker({ ...settings, pid: process.pid, cwd: process.cwd(), producer, loggers });
  await worker.start();
  const announced = announce(worker, logger, supervised).catch((error: unknown) => {
    if (isFleetError(error, 'INVALID_SETTINGS', 'REDIS_UNAVAILABLE')) throw error;
    logger.debug({ error }, 'Asked to end before it was ready');
  });
  const { why, code } = await Promise.race([asked, announced.then(() => asked)]).catch(async (error: unknown) => {
    await worker.stop();
    throw error;
  });
  logger.info({ id: worker.id, why }, 'Worker is asked to end');
  await worker.stop();
  logger.info({ id: worker.id }, 'Worker has ended');
  return code;
}

async function announce(worker: FleetWorker, logger: Logger, supervised: boolean): Promise<void> {
  await worker.ready();
  const { id } = worker;
  const { queues, slots } = worker.status();
  logger.info({ id, queues, slots }, 'Worker takes tasks');
  if (supervised) await tellParent({ type: 'ready', id });
}

function listen({ loggers, supervised = false, lost, release }: RunWorkerOptions): EndRequests {
  const logger = loggers('worker');
  let end: (end: End) => void = () => undefined;
  let endAtOnce: (code: number) => void = () => undefined;
  const first = new Promise<End>((resolve) => (end = resolve));
  const second = new Promise<number>((resolve) => (endAtOnce = resolve));
  let signals = 0;
  const onSignal = (signal: EndSignal): void => {
    // A terminal that is closed sends it more than once; it is not in a hurry.
    if (signal === 'SIGHUP' && signals > 0) return;
    const code = 128 + SIGNAL_NUMBERS[signal];
    signals += 1;
    if (signals === 1) end({ why: signal, code: 0 });
    else if (signals === 2) endAtOnce(code);
    // What is to be released would be left behind.
    else if (!release) process.exit(code);
  };
  process.on('SIGTERM', onSignal);
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, supervised ? () => undefined : onSignal);
  if (supervised) process.once('disconnect', () => end({ why: 'the process that started it is gone', code: 0 }));
  void lost?.then((error) => {
    logger.fatal({ error }, 'Redis is lost: this worker ends');
    endAtOnce(EXIT_LOST);
  });
  process.on('uncaughtException', (error) => {
    logUncaught(logger, 'fatal', error, 'An exception that nobody caught: this worker ends');
    end({ why: 'uncaught exception', code: EXIT_BROKEN });
  });
  process.on('unhandledRejection', (reason) => {
    logUncaught(logger, 'error', reason, 'A rejection that nobody handled');
  });
  return { first, second };
}
