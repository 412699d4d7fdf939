import { describeValue, isObject } from '../shared/arguments.js';
import { FleetError, messageOf } from '../shared/errors.js';
import { isName } from '../shared/keys.js';
import { MAINTENANCE_QUEUE } from '../shared/task/builtin/index.js';
import { type AnyDefinition, defineTask } from '../shared/task/definition.js';
import type { TaskHandler } from '../shared/task/handler.js';

/**
 * A handler that somebody's code gave, made anew of what each of its parts was when it was read, once: a part that is missing, throws or
 * would be another one the next time is a problem of the start, and not of the first task.
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

/** @throws FleetError `INVALID_DEFINITION`: that queue is of what the fleet does for itself, with slots and a retention of its own */
export function checkQueue({ definition: { name, queue } }: TaskHandler): void {
  if (queue === MAINTENANCE_QUEUE)
    throw new FleetError(
      'INVALID_DEFINITION',
      `The task ${name} is on the queue ${queue}, which is the fleet's own: give its definition another queue.`,
    );
}

function readHandler(given: unknown): TaskHandler {
  if (!isObject(given)) throw notAHandler(describeValue(given));
  const { definition, handle, isolated, alwaysIsolated } = given as Partial<TaskHandler>;
  if (!isObject(definition) || typeof handle !== 'function' || typeof isolated !== 'function')
    throw notAHandler('an object of another form');
  return Object.freeze({ definition: readDefinition(definition), handle, isolated, alwaysIsolated: alwaysIsolated === true });
}

/** Of another copy of this package it may not know of shards. */
function readDefinition(given: Omit<AnyDefinition, 'shards'> & Partial<Pick<AnyDefinition, 'shards'>>): AnyDefinition {
  const { name, queue, shards = 1, input, output, retry, timeoutMs, retryOnTimeout, deadlineMs, retention } = given;
  if (!isName(name) || typeof input?.safeParse !== 'function') throw notAHandler('one with a definition that defineTask has not made');
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
