import type { Me } from './api-types.js';

/** Decides which buttons the page shows. The API enforces the same rules; hiding a button protects nothing. */
export function mayStop({ role, items }: Me): boolean {
  return mayOperate({ role }) || (role === 'submitter' && items !== null);
}

/** Returns whether the caller may retry tasks and run schedules. */
export function mayOperate({ role }: Pick<Me, 'role'>): boolean {
  return role === 'operator' || role === 'admin';
}
