import { isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { FleetError, messageOf } from '../shared/errors.js';
import { isName } from '../shared/keys.js';
import type { Settings } from '../shared/settings.js';
import type { TaskHandler, TaskModule } from '../shared/task/handler.js';
import type { HandlerSource } from './thread-messages.js';

/** A handler, and where a thread finds it again. */
export interface LoadedHandler extends TaskHandler {
  readonly source: HandlerSource;
}

/** The module of the built-in tasks. They come through the same door as a service's own. */
export const BUILTIN_MODULE = new URL('./tasks/index.js', import.meta.url).href;

/**
 * Loads the built-in tasks and those of TASK_MODULES; a path is relative to `cwd`.
 * @throws FleetError `INVALID_TASK_MODULE`, naming the module and what is wrong with it
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

/** The handlers of one module. */
export async function loadTaskModule(url: string, settings: Settings): Promise<readonly TaskHandler[]> {
  let module: { default?: unknown };
  try {
    module = (await import(url)) as { default?: unknown };
  } catch (error) {
    throw invalid(url, messageOf(error), error);
  }
  const exported = module.default as TaskModule | undefined;
  let handlers: unknown;
  try {
    handlers = typeof exported === 'function' ? exported(settings) : exported;
  } catch (error) {
    throw invalid(url, `its default export threw: ${messageOf(error)}`, error);
  }
  const list = Array.isArray(handlers) ? handlers : [handlers];
  if (list.length === 0) throw invalid(url, 'it exports no handlers');
  for (const handler of list) {
    if (!isHandler(handler)) {
      throw invalid(url, 'expected as its default export an array of handlers made with defineHandler(definition, handle), or a function that returns one');
    }
  }
  return list as TaskHandler[];
}

function moduleUrl(path: string, cwd: string): string {
  if (/^(file|data|node):/.test(path)) return path;
  return pathToFileURL(isAbsolute(path) ? path : resolve(cwd, path)).href;
}

/** By shape, not by class: the module may have its own copy of this package. */
function isHandler(value: unknown): value is TaskHandler {
  const { definition, handle, isolated } = (value ?? {}) as Partial<TaskHandler>;
  return typeof handle === 'function' && typeof isolated === 'function' && isName(definition?.name) && typeof definition.input?.safeParse === 'function';
}

function invalid(url: string, problem: string, cause?: unknown): FleetError {
  return new FleetError('INVALID_TASK_MODULE', `Task module ${url}: ${problem}.`, { cause, details: { module: url } });
}
