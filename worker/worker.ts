import { hostname } from 'node:os';
import { uuidv7 } from 'uuidv7';
import { configOf, describeValue } from '../shared/arguments.js';
import type { TimeShift } from '../shared/clock/time-shift.js';
import { FleetError, messageOf } from '../shared/errors.js';
import { type Loggers, loggersOf } from '../shared/log/given-loggers.js';
import type { Logger } from '../shared/log/logger.js';
import { packageFile } from '../shared/package/package-file.js';
import { type Settings, type SettingsInput, resolveSettings } from '../shared/settings/settings.js';
import type { StepHook } from '../shared/store.js';
import type { ChildEnqueuer, TaskHandler } from '../shared/task/handler.js';
import { telemetryOf } from '../shared/tracing/guarded-telemetry.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';
import type { WorkerStatus } from '../shared/workers/status.js';
import type { WorkerHost } from './heartbeat/vitals.js';
import { type Extensions, readHooks, readMiddleware } from './hooks/extensions.js';
import type { WorkerHooks } from './hooks/hooks.js';
import type { Middleware } from './hooks/middleware.js';
import { checkHandler, checkQueue } from './modules/check-handler.js';
import { THREAD_MAIN } from './run/threads/messages.js';
import { type LoadedHandler, loadTaskModules } from './task-modules.js';
import { Watchdog } from './watchdog/watchdog.js';

/** Settings by name; `redisUrl` is required. docs/reference/settings.md lists the defaults of the rest. */
export interface WorkerConfig extends SettingsInput {
  readonly redisUrl: string;
  /** The folder that `taskModules` paths are relative to. Default: '.', the current folder. */
  readonly cwd?: string;
  /**
   * The program's own handlers, in addition to those of `taskModules`. They run in the main thread: an isolated handler must be in a
   * module, where its thread can load it.
   */
  readonly handlers?: readonly TaskHandler[];
  /** Functions that observe attempts and finished tasks, called before those of `taskModules`. Default: none. */
  readonly hooks?: WorkerHooks;
  /** Middleware around every handler, outside that of `taskModules`. Default: none. */
  readonly use?: readonly Middleware[];
  /**
   * Whether a thread watches the event loop, and kills this process if the loop hangs for `eventLoopTimeoutMs`. `taskfleet worker` does so.
   * Default false: the process may be more than a worker.
   */
  readonly watchdog?: boolean;
  /** Process id for heartbeats. Default: that of `host`, or 0, unknown. */
  readonly pid?: number;
  /** The program's `process`: heartbeats then have its memory and the version of Node.js. Default: none. */
  readonly host?: WorkerHost;
  /** The producer behind `context.enqueue`, from `createProducer`. Default: none, and `context.enqueue` rejects. */
  readonly producer?: ChildEnqueuer | undefined;
  /** Traces and measures attempts and stops: `openTelemetry()` from `taskfleet/telemetry`. Default: none. */
  readonly telemetry?: Telemetry | undefined;
  /** See {@link Loggers}. Default: JSON lines on standard error. */
  readonly loggers?: Loggers;
}

export interface StopWorkerOptions {
  /** Whether the worker stops because of a fault: it then stays listed as dead, with its last error. Default false. */
  readonly failed?: boolean;
}

/** A worker of the fleet. */
export interface FleetWorker {
  readonly id: string;
  /** Starts the worker. Does not wait for Redis: see `ready`. */
  start(): Promise<void>;
  /**
   * Resolves when the worker is connected and fetches tasks.
   * @throws FleetError `INVALID_SETTINGS`, `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
   */
  ready(): Promise<void>;
  /** Stops fetching, lets running tasks finish until SHUTDOWN_TIMEOUT_MS, and requeues the rest. */
  stop(options?: StopWorkerOptions): Promise<void>;
  status(): WorkerStatus;
}

/**
 * Creates a worker with the built-in tasks, those of `taskModules` and the given ones.
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_TASK_MODULE`, `INVALID_DEFINITION`
 */
export function createWorker(config: WorkerConfig): Promise<FleetWorker> {
  return openWorker(config);
}

/** Creates a worker as {@link createWorker} does; tests pass a hook, or move the time. */
export async function openWorker(config: WorkerConfig, onStep?: StepHook, shift?: TimeShift): Promise<FleetWorker> {
  const {
    loggers: givenLoggers,
    handlers: given = [],
    hooks: givenHooks = {},
    use: givenUse = [],
    cwd = '.',
    host,
    pid = host?.pid ?? 0,
    watchdog: isWatched = false,
    producer,
    telemetry: givenTelemetry,
    ...input
  } = configOf(config, 'createWorker');
  if (!Array.isArray(given))
    throw new FleetError('INVALID_SETTINGS', `createWorker: expected an array as handlers, got ${describeValue(given)}.`);
  if (producer !== undefined && typeof producer?.enqueueChild !== 'function')
    throw new FleetError('INVALID_SETTINGS', `createWorker: expected a producer from createProducer, got ${describeValue(producer)}.`);
  const own = readExtensions(givenHooks, givenUse);
  const settings: Settings = resolveSettings(input);
  if (!settings.redisUrl) throw new FleetError('INVALID_SETTINGS', 'createWorker: expected redisUrl, for example redis://127.0.0.1:6379.');
  const loggers = loggersOf(givenLoggers, 'createWorker', settings);
  const telemetry = telemetryOf(givenTelemetry, 'createWorker', loggers('worker'));
  for (const notice of settings.notices) loggers('worker').warn(notice);
  const modules = await loadTaskModules(settings, cwd);
  warnWithoutThreads(modules.handlers, loggers('worker'));
  const handlers = new Map(modules.handlers);
  for (const handler of given) addInline(handlers, checkHandler(handler));
  // Imported late: task modules import this module too, and would load all of BullMQ in every thread.
  const { Launcher } = await import('./launcher.js');
  const workerId = `${hostname()}-${pid}-${uuidv7().slice(-8)}`;
  const connected = { ...settings, redisUrl: settings.redisUrl };
  const launcher = new Launcher(
    {
      workerId,
      pid,
      host,
      settings: connected,
      handlers,
      hooks: [...own.hooks, ...modules.hooks],
      use: [...own.use, ...modules.use],
      loggers,
      producer: producer ?? null,
      shift,
      telemetry,
    },
    onStep,
  );
  const watchdog =
    isWatched && settings.eventLoopTimeoutMs > 0
      ? new Watchdog({ limitMs: hangLimit(settings), worker: workerId, settings: connected, logger: loggers('worker') })
      : null;
  const stop = async ({ failed = false }: StopWorkerOptions): Promise<void> => {
    if (failed) launcher.keepRecord();
    try {
      await launcher.stop();
    } finally {
      await watchdog?.stop();
    }
  };
  let stopped: Promise<void> | null = null;
  return {
    id: workerId,
    start: () => launcher.start(),
    ready: () => launcher.ready(),
    stop: (options = {}) => (stopped ??= stop(options)),
    status: () => launcher.status(),
  };
}

/** A bundle has no entry module for threads: an operator learns that at the start, not from the first failed task. */
function warnWithoutThreads(handlers: ReadonlyMap<string, LoadedHandler>, logger: Logger): void {
  const tasks = [...handlers.values()].filter(({ alwaysIsolated }) => alwaysIsolated).map(({ definition }) => definition.name);
  if (tasks.length === 0) return;
  try {
    packageFile(THREAD_MAIN);
  } catch (error) {
    logger.warn({ error, tasks }, 'No threads in a bundled worker; isolated tasks will fail here');
  }
}

/** A process that hangs for less than a lock loses no task. */
function hangLimit({ eventLoopTimeoutMs, lockMs }: Settings): number {
  return Math.max(eventLoopTimeoutMs, lockMs);
}

function readExtensions(hooks: unknown, use: unknown): Extensions {
  try {
    return { hooks: [readHooks(hooks)], use: readMiddleware(use) };
  } catch (error) {
    throw new FleetError('INVALID_SETTINGS', `createWorker: ${messageOf(error)}.`, { cause: error });
  }
}

function addInline(handlers: Map<string, LoadedHandler>, handler: TaskHandler): void {
  const { name } = handler.definition;
  checkQueue(handler);
  if (handlers.has(name)) throw new FleetError('INVALID_DEFINITION', `The task ${name} has two handlers.`, { details: { task: name } });
  if (handler.alwaysIsolated) {
    throw new FleetError(
      'INVALID_DEFINITION',
      `The handler of ${name} is isolated: add its module to taskModules, so that a thread can load it.`,
    );
  }
  handlers.set(name, { ...handler, isolated: (input) => refuseThread(handler, input), source: { moduleUrl: '', name } });
}

/** Refuses to run an isolated handler in the main thread: it could block every other task of the process, and no stop would reach it. */
function refuseThread(handler: TaskHandler, input: unknown): false {
  if (!handler.isolated(input)) return false;
  const { name } = handler.definition;
  throw new FleetError(
    'INVALID_DEFINITION',
    `${name} is isolated for this input: add its module to taskModules, so that a thread can load it.`,
  );
}
