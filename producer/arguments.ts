import { badArgument, isObject, optionsOf } from '../shared/arguments.js';
import { checkKnownId } from '../shared/keys.js';
import type { EnqueuedTask } from './enqueue/enqueuer.js';
import type { EnqueueOptions } from './enqueue/prepare.js';
import type { ListOptions } from './list.js';

/** Returns the id of a call's task. @throws FleetError `INVALID_ID` */
export function idOf(task: string | EnqueuedTask): string {
  return checkKnownId(isObject(task) ? task.id : task);
}

/** Returns the ids of a call's task or tasks. @throws FleetError `INVALID_ID` */
export function idsOf(tasks: string | EnqueuedTask | readonly (string | EnqueuedTask)[]): string[] {
  return (Array.isArray(tasks) ? tasks : [tasks]).map((task: string | EnqueuedTask) => idOf(task));
}

/** Checks the options of `list`. @throws FleetError `INVALID_OPTION` */
export function listOptionsOf(options: ListOptions | undefined): ListOptions {
  const { name, queue, after, sees, ...rest } = optionsOf(options);
  for (const [field, value] of Object.entries({ name, queue, after })) {
    if (value !== undefined && typeof value !== 'string') throw badArgument('INVALID_OPTION', field, 'a string', value);
  }
  if (sees !== undefined && typeof sees !== 'function') throw badArgument('INVALID_OPTION', 'sees', 'a function', sees);
  return { ...rest, name, queue, after, sees };
}

/** Checks options with an AbortSignal, which may come from another realm. @throws FleetError `INVALID_OPTION` */
export function signalOptionsOf<Options extends { readonly signal?: AbortSignal | undefined }>(
  options: Options | undefined,
): Partial<Options> {
  const checked = optionsOf(options);
  const { signal } = checked;
  const isSignal = isObject(signal) && typeof signal.aborted === 'boolean' && typeof signal.addEventListener === 'function';
  if (signal !== undefined && !isSignal) throw badArgument('INVALID_OPTION', 'signal', 'an AbortSignal', signal);
  return checked;
}

/** Splits the tasks of `enqueueMany` into input and options. @throws FleetError `INVALID_OPTION` */
export function tasksOf<Task extends { readonly input: unknown } & EnqueueOptions>(
  tasks: Iterable<Task>,
): { readonly input: unknown; readonly options: EnqueueOptions }[] {
  const isIterable =
    typeof tasks === 'object' && tasks !== null && typeof (tasks as Partial<Iterable<Task>>)[Symbol.iterator] === 'function';
  if (!isIterable) throw badArgument('INVALID_OPTION', 'tasks', 'a list of { input, …options }', tasks);
  return [...tasks].map((task) => {
    if (!isObject(task)) throw badArgument('INVALID_OPTION', 'tasks', 'a list of { input, …options }', task);
    const { input, ...options } = task;
    return { input, options };
  });
}
