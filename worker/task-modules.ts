import { isDefinition } from '../shared/arguments.js';
import { type FleetError, isFleetError, messageOf } from '../shared/errors.js';
import { matchesNames } from '../shared/settings/name-patterns.js';
import type { Settings } from '../shared/settings/settings.js';
import type { TaskHandler } from '../shared/task/handler.js';
import { type Extensions, readHooks, readMiddleware } from './hooks/extensions.js';
import type { WorkerHooks } from './hooks/hooks.js';
import type { Middleware } from './hooks/middleware.js';
import { checkHandler, checkQueue } from './modules/check-handler.js';
import { BUILTIN_MODULE, type ModuleExports, importModule, invalidModule, moduleUrl } from './modules/import-module.js';
import type { HandlerSource } from './run/threads/messages.js';

/** A handler, and where a thread can load it from. */
export interface LoadedHandler extends TaskHandler {
  readonly source: HandlerSource;
}

const MAX_HANDLERS = 1_000;

/** The task modules of a worker. */
export interface LoadedModules extends Extensions {
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
}

/**
 * Loads the built-in tasks that BUILTIN_TASKS names, and the tasks, hooks and middleware of TASK_MODULES; relative paths start at `cwd`.
 * @throws FleetError `INVALID_TASK_MODULE`, with the module and the problem
 */
export async function loadTaskModules(settings: Settings, cwd: string): Promise<LoadedModules> {
  const handlers = new Map<string, LoadedHandler>();
  const hooks: WorkerHooks[] = [];
  const use: Middleware[] = [];
  const urls = [BUILTIN_MODULE, ...settings.taskModules.map((path) => moduleUrl(path, cwd))];
  for (const url of urls) {
    const exported = await importModule(url);
    if (exported.hooks !== undefined) hooks.push(readExport(url, () => readHooks(exported.hooks)));
    if (exported.use !== undefined) use.push(...readExport(url, () => readMiddleware(exported.use)));
    // A module may have hooks or middleware only.
    if (exported.default === undefined && (exported.hooks ?? exported.use) !== undefined) continue;
    for (const handler of handlersOf(url, exported, settings)) {
      const { name } = handler.definition;
      if (url === BUILTIN_MODULE && !matchesNames(settings.builtinTasks, name)) continue;
      const other = handlers.get(name);
      if (other) throw invalidModule(url, `the task ${name} is defined in ${other.source.moduleUrl} already`);
      handlers.set(name, { ...handler, source: { moduleUrl: url, name } });
    }
  }
  return { handlers, hooks, use };
}

/**
 * Returns the handlers of one module.
 * @throws FleetError `INVALID_TASK_MODULE`, no matter how loading fails
 */
export async function loadTaskModule(url: string, settings: Settings): Promise<readonly TaskHandler[]> {
  return handlersOf(url, await importModule(url), settings);
}

function readExport<Value>(url: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    throw invalidModule(url, messageOf(error), error);
  }
}

function handlersOf(url: string, { default: exported, names }: ModuleExports, settings: Settings): readonly TaskHandler[] {
  let given: unknown;
  try {
    given = typeof exported === 'function' ? (exported as (settings: Settings) => unknown)(settings) : exported;
  } catch (error) {
    throw invalidModule(url, `its default export threw: ${messageOf(error)}`, error);
  }
  try {
    if (given instanceof Promise) throw wrongExport(url, 'Got a promise: await it in the module, as in export default await …');
    if (exported === undefined) throw wrongExport(url, `It exports ${names.join(', ') || 'nothing'}`);
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    if (list.length === 0) throw invalidModule(url, 'it exports no handlers');
    if (list.length > MAX_HANDLERS) throw invalidModule(url, `expected at most ${MAX_HANDLERS} handlers, got ${list.length}`);
    return list.map((one) => checkOwn(url, one));
  } catch (error) {
    if (isFleetError(error, 'INVALID_TASK_MODULE')) throw error;
    throw invalidModule(url, `its default export cannot be read: ${messageOf(error)}`, error);
  }
}

function checkOwn(url: string, given: unknown): TaskHandler {
  if (isDefinition(given)) throw wrongExport(url, `Got the definition of ${given.name}, without a handler`);
  try {
    const handler = checkHandler(given);
    if (url !== BUILTIN_MODULE) checkQueue(handler);
    return handler;
  } catch (error) {
    throw wrongExport(url, messageOf(error), error);
  }
}

function wrongExport(url: string, problem: string, cause?: unknown): FleetError {
  const expected =
    'expected as its default export an array of handlers made with defineHandler(definition, handle), or a function that returns one';
  return invalidModule(url, `${expected}. ${problem}`, cause);
}
