import { FleetError } from '../../shared/errors.js';
import { type Principal, hasRole, seesItem } from '../auth/principal.js';

/** The task, if the caller may know of it. @throws FleetError `TASK_NOT_FOUND`, the same as for a task that never was */
export function requireVisible<Task extends { readonly item: string | null }>(principal: Principal, id: string, task: Task | null): Task {
  if (task && seesItem(principal, task.item)) return task;
  throw noTask(id);
}

export function noTask(id: string): FleetError {
  return new FleetError('TASK_NOT_FOUND', `No task ${id}: it never was, or it is no longer kept.`, { details: { id } });
}

/**
 * Whether the caller may stop tasks of this item: operators what they see; submitters what their patterns name, and
 * nothing without patterns.
 * @throws FleetError `FORBIDDEN`
 */
export function checkMayStop(principal: Principal, item: string | null): void {
  if (hasRole(principal, 'operator') || (principal.items !== null && seesItem(principal, item))) return;
  throw new FleetError(
    'FORBIDDEN',
    `This needs the role operator, or a submitter's own items; ${principal.name} is ${principal.role} without items of its own.`,
  );
}

/** @throws FleetError `FORBIDDEN` */
export function checkMayUseItem(principal: Principal, item: string | null): void {
  if (seesItem(principal, item)) return;
  const problem = item === null ? 'a task needs an item here' : 'this item is not among them';
  throw new FleetError('FORBIDDEN', `${principal.name} may use certain items only: ${problem}.`, { details: { field: 'item' } });
}
