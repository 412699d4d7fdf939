import { hostname } from 'node:os';
import { uuidv7 } from 'uuidv7';
import { configOf, describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import type { WorkerStatus } from '../shared/records/heartbeats.js';
import { type Settings, type SettingsInput, resolveSettings } from '../shared/settings/settings.js';
import type { StepHook } from '../shared/store.js';
import type { ChildEnqueuer, TaskHandler } from '../shared/task/handler.js';
import { type LoadedHandler, checkHandler, checkQueue, loadTaskModules } from './task-modules.js';

/** Settings by name; `redisUrl` is required. docs/settings.md lists the defaults of the rest. */
export interface WorkerConfig extends SettingsInput {
  readonly redisUrl: string;
  /** The folder that `taskModules` paths are relative to. Default: '.', the current folder. */
  readonly cwd?: string;
  /**
   * The program's own handlers, in addition to those of `taskModules`. They run in the main thread: an isolated handler must be in a
   * module, where its thread can load it.
   */
  readonly handlers?: readonly TaskHandler[];
  /** Process id for heartbeats. Default: 0, unknown. */
  readonly pid?: number;
  /** The producer behind `context.enqueue`, from `createProducer`. Default: none, and `context.enqueue` rejects. */
  readonly producer?: ChildEnqueuer | undefined;
  /** Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
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
  stop(): Promise<void>;
  status(): WorkerStatus;
}

/**
 * Creates a worker with the built-in tasks, those of `taskModules` and the given ones.
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_TASK_MODULE`, `INVALID_DEFINITION`
 */
export function createWorker(config: WorkerConfig): Promise<FleetWorker> {
  return openWorker(config);
}

/** Creates a worker as {@link createWorker} does; tests pass a hook. */
export async function openWorker(config: WorkerConfig, onStep?: StepHook): Promise<FleetWorker> {
  const { loggers: givenLoggers, handlers: given = [], cwd = '.', pid = 0, producer, ...input } = configOf(config, 'createWorker');
  if (!Array.isArray(given))
    throw new FleetError('INVALID_SETTINGS', `createWorker: expected an array as handlers, got ${describeValue(given)}.`);
  if (producer !== undefined && typeof producer?.enqueueChild !== 'function')
    throw new FleetError('INVALID_SETTINGS', `createWorker: expected a producer from createProducer, got ${describeValue(producer)}.`);
  const settings: Settings = resolveSettings(input);
  if (!settings.redisUrl) throw new FleetError('INVALID_SETTINGS', 'createWorker: expected redisUrl, for example redis://127.0.0.1:6379.');
  const loggers = givenLoggers ?? createLoggerFactory({ settings });
  for (const notice of settings.notices) loggers('worker').warn(notice);
  const handlers = new Map(await loadTaskModules(settings, cwd));
  for (const handler of given) addInline(handlers, checkHandler(handler));
  // Imported late: task modules import this module too, and would load all of BullMQ in every thread.
  const { Launcher } = await import('./launcher.js');
  const workerId = `${hostname()}-${pid}-${uuidv7().slice(-8)}`;
  const launcher = new Launcher(
    { workerId, pid, settings: { ...settings, redisUrl: settings.redisUrl }, handlers, loggers, producer: producer ?? null },
    onStep,
  );
  return {
    id: workerId,
    start: () => launcher.start(),
    ready: () => launcher.ready(),
    stop: () => launcher.stop(),
    status: () => launcher.status(),
  };
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
