import type { Me } from './api-types.js';

/** What the page offers. The API decides by itself, with the same rules: a button that is missing protects nothing. */
export function mayStop({ role, items }: Me): boolean {
  return mayOperate({ role }) || (role === 'submitter' && items !== null);
}

/** Retry tasks, run schedules. */
export function mayOperate({ role }: Pick<Me, 'role'>): boolean {
  return role === 'operator' || role === 'admin';
}
