import { createHash } from 'node:crypto';
import type { Response } from 'express';

/** Each may do what those before it may. */
export const ROLES = ['viewer', 'submitter', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** How a caller may have been told. */
export const CALLER_WAYS = ['token', 'jwt', 'session', 'local'] as const;

/** Who makes a request. */
export interface Principal {
  /** For the audit, and as `by` of stops. */
  readonly name: string;
  /**
   * Who vouches for the name. Callers of one name and two issuers are two callers. `tokens` for a token of API_TOKENS, `jwt:` and the `iss`
   * for a JWT, `local` without either; of what a function given as `auth` returns, default `app`.
   */
  readonly issuer?: string;
  readonly role: Role;
  /** Patterns of the items that it may see, `*` standing for any text; null for everything, tasks without an item too. */
  readonly items: readonly string[] | null;
  /** How it was told. `local`: no tokens are configured, and only this machine reaches the dashboard. */
  readonly via: (typeof CALLER_WAYS)[number];
}

/** Who makes this request, as `authenticate` has found. @throws if the route is not behind it */
export function principalOf(res: Response): Principal {
  const principal = findPrincipal(res);
  if (!principal) throw new Error('This route is not behind authenticate.');
  return principal;
}

/** The same where it may not be known yet. */
export function findPrincipal({ locals }: Response): Principal | null {
  return (locals as { principal?: Principal }).principal ?? null;
}

/** Names a caller in Redis, in 32 characters: the same for the bearer of a token or JWT and for the session that came of it. */
export function callerKeyOf({ issuer = 'app', name }: Pick<Principal, 'issuer' | 'name'>): string {
  return createHash('sha256')
    .update(JSON.stringify([issuer, name]))
    .digest('hex')
    .slice(0, 32);
}

export function hasRole({ role }: Principal, least: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/** Whether it may know of a task with this item, null for none. */
export function seesItem({ items }: Principal, item: string | null): boolean {
  if (items === null) return true;
  return item !== null && items.some((pattern) => matches(pattern, item));
}

function matches(pattern: string, item: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === item;
  const last = rest.pop() as string;
  if (item.length < first.length + last.length || !item.startsWith(first) || !item.endsWith(last)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = item.indexOf(part, at);
    if (found === -1 || found + part.length > item.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}
