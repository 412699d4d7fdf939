import { type LimitStep, limitsOf, stepsOf } from '../../../shared/limiter/marks.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import type { TaskHandler } from '../../../shared/task/handler.js';
import type { FleetJob } from '../../fetch/fleet-job.js';

const NONE: readonly LimitStep[] = [];

/** The limits of a handler alone, as a definition would state them. */
type OwnLimits = Pick<AnyDefinition, 'name' | 'queue' | 'rate'>;

const ownLimits = new WeakMap<TaskHandler, OwnLimits>();

/**
 * Returns the limits of a fetched task in the order in which it acquires them: those that its job carries, as the definition that runs
 * states them, and those of the handler.
 * @param input the parsed input
 * @throws FleetError `INVALID_INPUT`, naming a `by` or `cost` of the handler that failed
 */
export function stepsFor({ taskOptions: { limits, item } }: FleetJob, handler: TaskHandler, input: unknown): readonly LimitStep[] {
  const carried = limits ? stepsOf(handler.definition, limits) : NONE;
  if (handler.rate.length === 0) return carried;
  const own = limitsOf(limitsOfHandler(handler), { input, item: item || null }) ?? NONE;
  const added = own.filter(({ id }) => carried.every((step) => step.id !== id));
  const firstWhole = carried.findIndex(({ kind, keyed }) => kind === 'place' && !keyed);
  return firstWhole < 0 ? [...carried, ...added] : carried.toSpliced(firstWhole, 0, ...added);
}

/** Returns the limits of a handler beside its definition's, the same object each time. */
export function limitsOfHandler(handler: TaskHandler): OwnLimits {
  let own = ownLimits.get(handler);
  if (!own) {
    const { name, queue } = handler.definition;
    ownLimits.set(handler, (own = { name, queue, rate: handler.rate }));
  }
  return own;
}
