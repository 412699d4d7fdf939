import { isFleetError } from '../shared/errors.js';
import type { Logger, LoggerFactory } from '../shared/log/logger.js';
import { type HostProcess, ProcessLife, exitCodeOfSignal } from '../shared/process/process-life.js';
import type { ConnectedSettings } from '../shared/store.js';
import type { ChildEnqueuer } from '../shared/task/handler.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';
import { timeToFlush } from '../shared/tracing/time-to-flush.js';
import { type FleetWorker, createWorker } from './worker.js';

interface RunWorkerOptions {
  readonly host: HostProcess;
  /** Base of the relative paths in TASK_MODULES. */
  readonly cwd: string;
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /** True for a child of `taskfleet up`; see ProcessLife. Default false. */
  readonly supervised?: boolean;
  /** The producer behind `context.enqueue`. Default: none. */
  readonly producer?: ChildEnqueuer;
  /** Default: none. */
  readonly telemetry?: Telemetry | undefined;
  /** Exports the telemetry that is left, for at most this time in ms, once the worker has stopped. */
  readonly flush?: (limitMs: number) => Promise<void>;
  /** Resolves with the reason when something that the worker needs is lost for good, such as an embedded Redis. */
  readonly lost?: Promise<Error> | undefined;
  /** Called last, also after a second signal: releases the worker's own resources, such as an embedded Redis. */
  readonly release?: () => Promise<void>;
}

/** EX_UNAVAILABLE of sysexits.h. */
const EXIT_LOST = 69;

/**
 * Runs a worker until its process is told to shut down, and resolves with the exit code: see ProcessLife. After a second signal, does not
 * wait for tasks. The caller ends the process: abandoned handlers may keep it alive.
 *
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_TASK_MODULE`; `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
 */
export async function runWorker(options: RunWorkerOptions): Promise<number> {
  const { host, loggers, supervised = false, lost, release } = options;
  const logger = loggers('worker');
  const life = new ProcessLife({ host, logger, supervised });
  const unusable = lost?.then((error) => {
    logger.fatal({ error }, 'Redis is lost; shutting down');
    return EXIT_LOST;
  });
  try {
    return await Promise.race([work(options, life), life.forced.then(exitCodeOfSignal), ...(unusable ? [unusable] : [])]);
  } finally {
    await release?.();
  }
}

async function work({ host, cwd, settings, loggers, producer, telemetry, flush }: RunWorkerOptions, life: ProcessLife): Promise<number> {
  const logger = loggers('worker');
  const worker = await createWorker({ ...settings, host, cwd, producer, loggers, telemetry, watchdog: true });
  await worker.start();
  const announced = announce(worker, logger, life).catch((error: unknown) => {
    if (isFleetError(error, 'INVALID_SETTINGS', 'REDIS_UNAVAILABLE')) throw error;
    logger.debug({ error }, 'Shutdown requested before the worker was ready');
  });
  const { why, code } = await Promise.race([life.shutdown, announced.then(() => life.shutdown)]).catch(async (error: unknown) => {
    await worker.stop();
    throw error;
  });
  logger.info({ id: worker.id, why }, 'Shutdown requested');
  const since = performance.now();
  await worker.stop({ failed: code !== 0 });
  await flush?.(timeToFlush(settings, performance.now() - since));
  logger.info({ id: worker.id }, 'Worker stopped');
  return code;
}

async function announce(worker: FleetWorker, logger: Logger, life: ProcessLife): Promise<void> {
  await worker.ready();
  const { id } = worker;
  const { queues, slots } = worker.status();
  logger.info({ id, queues, slots }, 'Worker is ready');
  await life.announceReady(id);
}
