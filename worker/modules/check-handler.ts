import { describeValue, isObject } from '../../shared/arguments.js';
import { FleetError, messageOf } from '../../shared/errors.js';
import { isName } from '../../shared/keys.js';
import { type AnyDefinition, type TaskOptions, defineTask } from '../../shared/task/definition.js';
import type { TaskHandler } from '../../shared/task/handler.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';

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
  const { definition, handle, isolated, rate, alwaysIsolated } = given as Partial<TaskHandler>;
  if (!isObject(definition) || typeof handle !== 'function' || typeof isolated !== 'function')
    throw notAHandler('an object without definition, handle and isolated');
  return Object.freeze({
    ...{ definition: readDefinition(definition), handle, isolated },
    // A handler made by an older copy of this package has no rates.
    ...{ rate: Array.isArray(rate) ? Object.freeze([...rate]) : [], alwaysIsolated: alwaysIsolated === true },
  });
}

/** Fields that a definition made by an older copy of this package may lack. */
type LaterField = 'shards' | 'onWorkerLost' | 'chunk' | 'dedupe' | 'tags' | keyof GivenLimits;
type GivenLimits = Pick<AnyDefinition, 'concurrency' | 'rate' | 'fair' | 'whenBusy'>;

function readDefinition(given: Omit<AnyDefinition, LaterField> & Partial<Pick<AnyDefinition, LaterField>>): AnyDefinition {
  const { name, queue, shards = 1, input, output, chunk, retry, onWorkerLost, timeoutMs, retryOnTimeout, deadlineMs, retention } = given;
  const { dedupe, tags } = given;
  if (!isName(name) || typeof input?.safeParse !== 'function') throw notAHandler('a handler whose definition was not made with defineTask');
  return defineTask({
    ...{ name, queue, shards, input, retry, retention },
    ...(output && { output }),
    ...(chunk && { chunk }),
    ...(onWorkerLost && { onWorkerLost }),
    ...(retryOnTimeout !== undefined && { retryOnTimeout }),
    ...(typeof timeoutMs === 'number' && { timeoutMs }),
    ...(typeof deadlineMs === 'number' && { deadlineMs }),
    ...(dedupe && { dedupe: { by: dedupe.by, mode: dedupe.mode, ...(dedupe.withinMs !== null && { withinMs: dedupe.withinMs }) } }),
    ...(tags && { tags }),
    ...limitOptions(given),
  });
}

/** Returns the limits of a definition as options for another one. */
function limitOptions({ concurrency = [], rate = [], fair, whenBusy }: Partial<GivenLimits>): Partial<TaskOptions<unknown, unknown>> {
  const given = <Entry extends object>(entry: Entry): { [Name in keyof Entry]: NonNullable<Entry[Name]> } =>
    Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== null)) as { [Name in keyof Entry]: NonNullable<Entry[Name]> };
  return {
    concurrency: concurrency.map(given),
    rate: rate.map(({ perMs: per, ...rest }) => given({ per, ...rest })),
    ...(fair && { fair }),
    ...(whenBusy && { whenBusy }),
  };
}

function notAHandler(got: string): FleetError {
  return new FleetError('INVALID_DEFINITION', `Expected a handler made with defineHandler(definition, handle), got ${got}.`);
}
