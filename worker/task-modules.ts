import { isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { FleetError, isFleetError, messageOf } from '../shared/errors.js';
import type { Settings } from '../shared/settings/settings.js';
import type { TaskHandler } from '../shared/task/handler.js';
import { checkHandler, checkQueue } from './check-handler.js';
import type { HandlerSource } from './run/threads/messages.js';

/** A handler, and where a thread can load it from. */
export interface LoadedHandler extends TaskHandler {
  readonly source: HandlerSource;
}

/** The module of the built-in tasks, loaded like any task module. */
export const BUILTIN_MODULE = new URL('./builtin/handlers.js', import.meta.url).href;

const MAX_HANDLERS = 1_000;

/**
 * Loads the built-in tasks and those of TASK_MODULES; relative paths start at `cwd`.
 * @throws FleetError `INVALID_TASK_MODULE`, with the module and the problem
 */
export async function loadTaskModules(settings: Settings, cwd: string): Promise<ReadonlyMap<string, LoadedHandler>> {
  const handlers = new Map<string, LoadedHandler>();
  const urls = [BUILTIN_MODULE, ...settings.taskModules.map((path) => moduleUrl(path, cwd))];
  for (const url of urls) {
    for (const handler of await loadTaskModule(url, settings)) {
      const { name } = handler.definition;
      const other = handlers.get(name);
      if (other) throw invalid(url, `the task ${name} is defined in ${other.source.moduleUrl} already`);
      handlers.set(name, { ...handler, source: { moduleUrl: url, name } });
    }
  }
  return handlers;
}

/**
 * Returns the handlers of one module.
 * @throws FleetError `INVALID_TASK_MODULE`, no matter how loading fails
 */
export async function loadTaskModule(url: string, settings: Settings): Promise<readonly TaskHandler[]> {
  const { default: exported } = await importModule(url);
  let given: unknown;
  try {
    given = typeof exported === 'function' ? (exported as (settings: Settings) => unknown)(settings) : exported;
  } catch (error) {
    throw invalid(url, `its default export threw: ${messageOf(error)}`, error);
  }
  try {
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    if (list.length === 0) throw invalid(url, 'it exports no handlers');
    if (list.length > MAX_HANDLERS) throw invalid(url, `expected at most ${MAX_HANDLERS} handlers, got ${list.length}`);
    return list.map((one) => checkOwn(url, one));
  } catch (error) {
    if (isFleetError(error, 'INVALID_TASK_MODULE')) throw error;
    throw invalid(url, `its default export cannot be read: ${messageOf(error)}`, error);
  }
}

/** Returns the module rather than its default export: awaiting an export with a `then` would call it. */
async function importModule(url: string): Promise<{ readonly default?: unknown }> {
  try {
    return (await import(url)) as { readonly default?: unknown };
  } catch (error) {
    throw invalid(url, messageOf(error), error);
  }
}

function checkOwn(url: string, given: unknown): TaskHandler {
  try {
    const handler = checkHandler(given);
    if (url !== BUILTIN_MODULE) checkQueue(handler);
    return handler;
  } catch (error) {
    throw invalid(
      url,
      'expected as its default export an array of handlers made with defineHandler(definition, handle), ' +
        `or a function that returns one. ${messageOf(error).replace(/\\.$/, '')}`,
      error,
    );
  }
}

function moduleUrl(path: string, cwd: string): string {
  if (/^(file|data|node):/.test(path)) return path;
  return pathToFileURL(isAbsolute(path) ? path : resolve(cwd, path)).href;
}

function invalid(url: string, problem: string, cause?: unknown): FleetError {
  return new FleetError('INVALID_TASK_MODULE', `Task module ${url}: ${problem}.`, { cause, details: { module: url } });
}
