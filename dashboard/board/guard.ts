import type { BeforeHookResult, HookContext } from '@bull-board/api/typings/app';
import { hasRole } from '../auth/principal.js';
import type { BoardRequest } from './board-call.js';
import { ruleOf } from './rules.js';

/** Bull Board asks it before each of its handlers: who may do this, and what nobody may. The message is shown by its page. */
export function guard({ method, route, request }: HookContext): BeforeHookResult {
  const { principal } = request as BoardRequest;
  const { role, refusal } = ruleOf(method, route);
  if (!hasRole(principal, role)) return deny(`This needs the role ${role}; ${principal.name} is ${principal.role}.`);
  return refusal === null ? { allow: true } : deny(refusal);
}

function deny(message: string): BeforeHookResult {
  return { allow: false, status: 403, errorKey: 'ERRORS.FORBIDDEN', message };
}
