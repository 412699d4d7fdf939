import { hostname } from 'node:os';
import { uuidv7 } from 'uuidv7';
import { configOf, describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { type LoggerFactory, createLoggerFactory } from '../shared/logger.js';
import { type Settings, type SettingsInput, resolveSettings } from '../shared/settings.js';
import type { StepHook } from '../shared/step-hook.js';
import type { ChildEnqueuer, TaskHandler } from '../shared/task/handler.js';
import type { WorkerStatus } from './heartbeat.js';
import { checkHandler, checkQueue } from './check-handler.js';
import { type LoadedHandler, loadTaskModules } from './task-modules.js';

/** Settings by name; `redisUrl` is required. docs/settings.md lists the defaults of the rest. */
export interface WorkerConfig extends SettingsInput {
  readonly redisUrl: string;
  /** Paths of `taskModules` are relative to this folder. Default: '.', the folder that the process was started in. */
  readonly cwd?: string;
  /**
   * Handlers of the program's own, beside those of `taskModules`. These run in the worker's own thread: an isolated
   * handler must come from a module, where its thread finds it.
   */
  readonly handlers?: readonly TaskHandler[];
  /** Shown in heartbeats. Default: the pid of this process is not known, 0. */
  readonly pid?: number;
  /** What handlers enqueue with (`context.enqueue`): one from `createProducer`. Default: none, and `context.enqueue` rejects. */
  readonly producer?: ChildEnqueuer | undefined;
  /** For tests: holds what is done here between two steps. */
  readonly onStep?: StepHook | undefined;
  /** Default: JSON lines on standard error. */
  readonly loggers?: LoggerFactory;
}

/** A worker of the fleet. */
export interface FleetWorker {
  readonly id: string;
  /** Takes up work. Does not wait for Redis: see `ready`. */
  start(): Promise<void>;
  /**
   * Resolves when it is connected and takes tasks.
   * @throws FleetError `INVALID_SETTINGS`, `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
   */
  ready(): Promise<void>;
  /** Fetches nothing more, lets running tasks end until SHUTDOWN_TIMEOUT_MS, hands back the rest. */
  stop(): Promise<void>;
  status(): WorkerStatus;
}

/**
 * Makes a worker with the built-in tasks, those of `taskModules` and those given.
 * @throws FleetError `INVALID_SETTINGS`, `INVALID_TASK_MODULE`, `INVALID_DEFINITION`
 */
export async function createWorker(config: WorkerConfig): Promise<FleetWorker> {
  const { loggers: givenLoggers, handlers: given = [], cwd = '.', pid = 0, producer, onStep, ...input } = configOf(config, 'createWorker');
  if (!Array.isArray(given))
    throw new FleetError('INVALID_SETTINGS', `createWorker: expected as handlers an array, got ${describeValue(given)}.`);
  if (producer !== undefined && typeof producer?.enqueueChild !== 'function')
    throw new FleetError('INVALID_SETTINGS', `createWorker: expected as producer one of createProducer, got ${describeValue(producer)}.`);
  const settings: Settings = resolveSettings(input);
  if (!settings.redisUrl) throw new FleetError('INVALID_SETTINGS', 'createWorker: expected redisUrl, for example redis://127.0.0.1:6379.');
  const loggers = givenLoggers ?? createLoggerFactory({ settings });
  for (const notice of settings.notices) loggers('worker').warn(notice);
  const handlers = new Map(await loadTaskModules(settings, cwd));
  for (const handler of given) addInline(handlers, checkHandler(handler));
  // Not with this module: task modules import it too, and would load all of BullMQ in each thread of an isolated handler.
  const { Launcher } = await import('./launcher.js');
  const workerId = `${hostname()}-${pid}-${uuidv7().slice(-8)}`;
  const launcher = new Launcher({
    workerId,
    pid,
    settings: { ...settings, redisUrl: settings.redisUrl },
    handlers,
    loggers,
    producer: producer ?? null,
    onStep,
  });
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
      `The handler of ${name} is isolated: name its module in taskModules, so that a thread can load it.`,
    );
  }
  handlers.set(name, { ...handler, isolated: (input) => refuseThread(handler, input), source: { moduleUrl: '', name } });
}

/** Run in this thread after all, it could hold up every other task of the process, and no stop would reach it. */
function refuseThread(handler: TaskHandler, input: unknown): false {
  if (!handler.isolated(input)) return false;
  const { name } = handler.definition;
  throw new FleetError(
    'INVALID_DEFINITION',
    `${name} is isolated for this input: name its module in taskModules, so that a thread can load it.`,
  );
}
