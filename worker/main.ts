import { isFleetError } from '../shared/errors.js';
import { type Logger, type LoggerFactory, logUncaught } from '../shared/logger.js';
import type { ConnectedSettings } from '../shared/store.js';
import type { ChildEnqueuer } from '../shared/task/handler.js';
import { type FleetWorker, createWorker } from './worker.js';

/** The messages of a supervised worker to its parent process, over IPC. */
export type WorkerMessage =
  | { readonly type: 'ready'; readonly id: string }
  /** The worker could not start; `code` is the error's, null for an error without one. */
  | { readonly type: 'failed'; readonly code: string | null; readonly message: string };

interface RunWorkerOptions {
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /**
   * True for a child of `taskfleet up`. Such a worker leaves Ctrl+C to its parent (a terminal signals both), reports over IPC when it is
   * ready, and shuts down when its parent is gone.
   */
  readonly supervised?: boolean;
  /** The producer behind `context.enqueue`. Default: none. */
  readonly producer?: ChildEnqueuer;
  /** Resolves with the reason when something that the worker needs is lost for good, such as an embedded Redis. */
  readonly lost?: Promise<Error> | undefined;
  /** Called last, also after a second signal: releases the worker's own resources, such as an embedded Redis. */
  readonly release?: () => Promise<void>;
}

/** Why the worker shuts down, and the exit code of a graceful shutdown. */
interface End {
  readonly why: string;
  readonly code: number;
}

interface EndRequests {
  readonly first: Promise<End>;
  /** The exit code of a forced shutdown. */
  readonly second: Promise<number>;
}

/** EX_SOFTWARE of sysexits.h. */
const EXIT_BROKEN = 70;
/** EX_UNAVAILABLE of sysexits.h. */
const EXIT_LOST = 69;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type EndSignal = keyof typeof SIGNAL_NUMBERS;

/**
 * Runs a worker until its process is told to shut down, and resolves with the exit code. The caller ends the process: abandoned handlers
 * may keep it alive.
 *
 * SIGTERM, SIGINT and SIGHUP shut down gracefully, code 0. A second signal does not wait for tasks: code 128+n. A third one exits on the
 * spot, unless there is something to release. An uncaught exception shuts down gracefully, code 70. An unhandled rejection is only logged:
 * it belongs to one handler and need not affect the others.
 *
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_TASK_MODULE`; `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
 */
export async function runWorker(options: RunWorkerOptions): Promise<number> {
  const requests = listen(options);
  try {
    return await Promise.race([work(options, requests.first), requests.second]);
  } finally {
    await options.release?.();
  }
}

/** Sends a message to the parent process, if it is still there. */
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
    logger.debug({ error }, 'Shutdown requested before the worker was ready');
  });
  const { why, code } = await Promise.race([asked, announced.then(() => asked)]).catch(async (error: unknown) => {
    await worker.stop();
    throw error;
  });
  logger.info({ id: worker.id, why }, 'Shutdown requested');
  await worker.stop();
  logger.info({ id: worker.id }, 'Worker stopped');
  return code;
}

async function announce(worker: FleetWorker, logger: Logger, supervised: boolean): Promise<void> {
  await worker.ready();
  const { id } = worker;
  const { queues, slots } = worker.status();
  logger.info({ id, queues, slots }, 'Worker is ready');
  if (supervised) await tellParent({ type: 'ready', id });
}

function listen({ loggers, supervised = false, lost, release }: RunWorkerOptions): EndRequests {
  const logger = loggers('worker');
  let end: (end: End) => void = () => undefined;
  let forceEnd: (code: number) => void = () => undefined;
  const first = new Promise<End>((resolve) => (end = resolve));
  const second = new Promise<number>((resolve) => (forceEnd = resolve));
  let signals = 0;
  const onSignal = (signal: EndSignal): void => {
    // Closing a terminal sends SIGHUP more than once; that does not mean urgency.
    if (signal === 'SIGHUP' && signals > 0) return;
    const code = 128 + SIGNAL_NUMBERS[signal];
    signals += 1;
    if (signals === 1) end({ why: signal, code: 0 });
    else if (signals === 2) forceEnd(code);
    // Exiting here would skip the release.
    else if (!release) process.exit(code);
  };
  process.on('SIGTERM', onSignal);
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, supervised ? () => undefined : onSignal);
  if (supervised) process.once('disconnect', () => end({ why: 'the parent process is gone', code: 0 }));
  void lost?.then((error) => {
    logger.fatal({ error }, 'Redis is lost; shutting down');
    forceEnd(EXIT_LOST);
  });
  process.on('uncaughtException', (error) => {
    logUncaught(logger, 'fatal', error, 'Uncaught exception; shutting down');
    end({ why: 'uncaught exception', code: EXIT_BROKEN });
  });
  process.on('unhandledRejection', (reason) => {
    logUncaught(logger, 'error', reason, 'Unhandled rejection');
  });
  return { first, second };
}
