import { badArgument, definitionOf, isObject, optionsOf } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { checkKnownId, quote } from '../shared/keys.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import type { TaskView } from '../shared/task/view.js';
import type { EnqueuedTask } from './enqueue/enqueued-task.js';
import type { EnqueueOptions } from './enqueue/prepare.js';

/** Returns the id of a call's task. @throws FleetError `INVALID_ID` */
export function idOf(task: string | EnqueuedTask): string {
  return checkKnownId(isObject(task) ? task.id : task);
}

/** The arguments of a call about one task, which may begin with the task's definition. */
interface TaskCall<Options> {
  readonly id: string;
  readonly definition: AnyDefinition | null;
  readonly options: Options | undefined;
}

/** @throws FleetError `INVALID_ID`, `INVALID_DEFINITION` */
export function taskCallOf<Options>([first, second, third]: readonly unknown[]): TaskCall<Options> {
  const typed = isObject(first) && 'input' in first;
  const [task, options] = typed ? [second, third] : [first, second];
  return {
    id: idOf(task as string | EnqueuedTask),
    definition: typed ? definitionOf(first) : null,
    options: options as Options | undefined,
  };
}

/** @throws FleetError `INVALID_DEFINITION` if the task was enqueued with another definition */
export function checkName({ name }: AnyDefinition, task: Pick<TaskView, 'id' | 'name'>): void {
  if (task.name === name) return;
  const found = task.name === null ? 'has no name' : `is ${quote(task.name)}`;
  throw new FleetError('INVALID_DEFINITION', `Bad definition: task ${task.id} ${found}, not ${quote(name)}.`, {
    details: { field: 'definition', id: task.id, name: task.name },
  });
}

/** Returns the ids of a call's task or tasks. @throws FleetError `INVALID_ID` */
export function idsOf(tasks: string | EnqueuedTask | readonly (string | EnqueuedTask)[]): string[] {
  return (Array.isArray(tasks) ? tasks : [tasks]).map((task: string | EnqueuedTask) => idOf(task));
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
