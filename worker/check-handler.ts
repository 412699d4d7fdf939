import { describeValue, isObject } from '../shared/arguments.js';
import { FleetError, messageOf } from '../shared/errors.js';
import { isName } from '../shared/keys.js';
import { MAINTENANCE_QUEUE } from './builtin/definitions.js';
import { type AnyDefinition, defineTask } from '../shared/task/definition.js';
import type { TaskHandler } from '../shared/task/handler.js';

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
