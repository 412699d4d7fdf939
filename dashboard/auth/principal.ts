import { createHash } from 'node:crypto';
import type { Response } from 'express';
import { FleetError } from '../../shared/errors.js';
import { isVisibleItem } from '../../shared/task/filter/item-pattern.js';
import { type TaskView, hideStacks } from '../../shared/task/view.js';

/** Each role includes the permissions of those before it. */
export const ROLES = ['viewer', 'submitter', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Ways to authenticate. */
export const CALLER_WAYS = ['token', 'jwt', 'session', 'local', 'item-token'] as const;

/** The authenticated caller of a request. */
export interface Principal {
  /** Recorded in the audit and as `by` of stops. */
  readonly name: string;
  /**
   * The issuer of the name; the same name from two issuers means two callers. `tokens` for API_TOKENS, `jwt:` followed by the `iss` for
   * a JWT, `local` without either, `item-token:` followed by the token's id; for a principal returned by an `auth` function, default `app`.
   */
  readonly issuer?: string;
  readonly role: Role;
  /** Patterns of visible items, where `*` matches any text; null for everything, including tasks without an item. */
  readonly items: readonly string[] | null;
  /** How the caller was authenticated. `local`: no tokens are configured, and the dashboard is reachable from this machine only. */
  readonly via: (typeof CALLER_WAYS)[number];
  /** @internal Set for the bearer of an item token, which has fewer rights than its role. */
  readonly itemToken?: ItemTokenRights;
}

interface ItemTokenRights {
  readonly id: string;
  /** Names of the tasks that it may enqueue. */
  readonly tasks: readonly string[];
  /** The same for tokens of the same rights. */
  readonly scope: string;
}

/** Returns the principal set by `authenticate`. @throws if the route is not behind it */
export function principalOf(res: Response): Principal {
  const principal = findPrincipal(res);
  if (!principal) throw new Error('This route is not behind authenticate.');
  return principal;
}

/** Returns the principal, or null before authentication. */
export function findPrincipal({ locals }: Response): Principal | null {
  return (locals as { principal?: Principal }).principal ?? null;
}

/** Returns the caller's key in Redis, 32 characters: the same for a token or JWT and its sessions. */
export function callerKeyOf({ issuer = 'app', name }: Pick<Principal, 'issuer' | 'name'>): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, name]))
    .digest('hex')
    .slice(0, 32);
}

/** Returns the namespace of a caller's idempotency keys: its own, or for an item token that of all tokens of the same rights. */
export function idempotencyScopeOf(principal: Principal): string {
  return principal.itemToken?.scope ?? callerKeyOf(principal);
}

export function hasRole({ role }: Principal, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/** Returns whether the principal may see tasks of this item; null stands for tasks without an item. */
export function seesItem({ items }: Principal, item: string | null): boolean {
  return isVisibleItem(items, item);
}

/** Returns the task if the caller may see it. @throws FleetError `TASK_NOT_FOUND`, the same as for a task that does not exist */
export function requireVisible<Task extends { readonly item: string | null }>(principal: Principal, id: string, task: Task | null): Task {
  if (task && seesItem(principal, task.item)) return task;
  throw noTask(id);
}

/** Returns the task as the caller may see it. */
export function shownTo(principal: Principal, task: TaskView): TaskView {
  return seesStacks(principal) ? task : hideStacks(task);
}

/** Returns whether the caller may see where in the code an error was thrown: operators may, except users with an item token. */
export function seesStacks(principal: Principal): boolean {
  return hasRole(principal, 'operator') && principal.itemToken === undefined;
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
