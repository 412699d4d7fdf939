import { isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describeValue, isObject } from '../shared/arguments.js';
import { FleetError, isFleetError, messageOf } from '../shared/errors.js';
import { isName } from '../shared/keys.js';
import type { Settings } from '../shared/settings/settings.js';
import { type AnyDefinition, defineTask } from '../shared/task/definition.js';
import type { TaskHandler } from '../shared/task/handler.js';
import { MAINTENANCE_QUEUE } from './builtin/definitions.js';
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

/**
 * Returns a validated, frozen copy of a handler. Each property is read once, so a getter that throws or changes its value fails at startup
 * and not in the first task.
 * @throws FleetError `INVALID_DEFINITION`
 */
export function checkHandler(given: unknown): TaskHandler {
  try {
    return readHandler(given);
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError('INVALID_DEFINITION', `A handler cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Refuses the maintenance queue, which is reserved for the fleet's own tasks.
 * @throws FleetError `INVALID_DEFINITION`
 */
export function checkQueue({ definition: { name, queue } }: TaskHandler): void {
  if (queue === MAINTENANCE_QUEUE)
    throw new FleetError(
      'INVALID_DEFINITION',
      `The queue ${queue} of task ${name} is reserved for the fleet's own tasks: choose another queue.`,
    );
}

function readHandler(given: unknown): TaskHandler {
  if (!isObject(given)) throw notAHandler(describeValue(given));
  const { definition, handle, isolated, alwaysIsolated } = given as Partial<TaskHandler>;
  if (!isObject(definition) || typeof handle !== 'function' || typeof isolated !== 'function')
    throw notAHandler('an object without definition, handle and isolated');
  return Object.freeze({ definition: readDefinition(definition), handle, isolated, alwaysIsolated: alwaysIsolated === true });
}

/** A definition made by an older copy of this package may lack `shards`. */
function readDefinition(given: Omit<AnyDefinition, 'shards'> & Partial<Pick<AnyDefinition, 'shards'>>): AnyDefinition {
  const { name, queue, shards = 1, input, output, retry, timeoutMs, retryOnTimeout, deadlineMs, retention } = given;
  if (!isName(name) || typeof input?.safeParse !== 'function') throw notAHandler('a handler whose definition was not made with defineTask');
  return defineTask({
    ...{ name, queue, shards, input, retry, retention },
    ...(output && { output }),
    ...(retryOnTimeout !== undefined && { retryOnTimeout }),
    ...(typeof timeoutMs === 'number' && { timeoutMs }),
    ...(typeof deadlineMs === 'number' && { deadlineMs }),
  });
}

function notAHandler(got: string): FleetError {
  return new FleetError('INVALID_DEFINITION', `Expected a handler made with defineHandler(definition, handle), got ${got}.`);
}
