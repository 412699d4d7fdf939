import { type ListOptions, type Producer, taskToJson } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { type Principal, hasRole, seesItem } from '../auth/principal.js';

/** Returns the task if the caller may see it. @throws FleetError `TASK_NOT_FOUND`, the same as for a task that does not exist */
export function requireVisible<Task extends { readonly item: string | null }>(principal: Principal, id: string, task: Task | null): Task {
  if (task && seesItem(principal, task.item)) return task;
  throw noTask(id);
}

export function noTask(id: string): FleetError {
  return new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`, { details: { id } });
}

/**
 * Checks that the caller may stop tasks of this item: operators may stop all visible tasks, submitters those that match
 * @throws FleetError `FORBIDDEN`
 */
export function checkMayStop(principal: Principal, item: string | null): void {
  if (hasRole(principal, 'operator') || (principal.items !== null && seesItem(principal, item))) return;
  throw new FleetError(
    'FORBIDDEN',
    `Requires the role operator, or submitter with matching item patterns; ${principal.name} has the role ${principal.role}.`,
  );
}

/** @throws FleetError `FORBIDDEN` */
export function checkMayUseItem(principal: Principal, item: string | null): void {
  if (seesItem(principal, item)) return;
  const problem = item === null ? 'the task has no item' : 'this item is not one of them';
  throw new FleetError('FORBIDDEN', `${principal.name} may use certain items only: ${problem}.`, { details: { field: 'item' } });
}

/** Reads a page of the tasks visible to the caller, as JSON. */
export async function pageOf(
  producer: Producer,
  principal: Principal,
  options: ListOptions,
): Promise<{ tasks: unknown[]; next: string | null }> {
  const sees = principal.items === null ? undefined : (item: string | null): boolean => seesItem(principal, item);
  const { tasks, next } = await producer.list({ ...options, sees });
  return { tasks: tasks.map(taskToJson), next };
}
