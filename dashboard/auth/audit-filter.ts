import type { AuditRecord } from './audit-log.js';

/** Selects audit records; null for no condition. */
export interface AuditFilter {
  /** The caller's name: exactly this, or with `*` at its end, its start. ASCII case is ignored, here and below. */
  readonly name: string | null;
  /** The action, such as `task.stop` or `task.*`. */
  readonly action: string | null;
  readonly outcome: AuditRecord['outcome'] | null;
  /** The target or the item. */
  readonly target: string | null;
  /** In ms since the epoch. */
  readonly since: number | null;
  readonly until: number | null;
}

/** Returns whether a record meets all conditions, except those of time, which bound the read. */
export function matchesAudit({ name, action, target, item, outcome }: AuditRecord, filter: AuditFilter): boolean {
  return (
    (filter.outcome === null || filter.outcome === outcome) &&
    isLike(name, filter.name) &&
    isLike(action, filter.action) &&
    (isLike(target, filter.target) || isLike(item, filter.target))
  );
}

function isLike(value: string | null, wanted: string | null): boolean {
  if (wanted === null) return true;
  if (value === null) return false;
  const [given, pattern] = [value.toLowerCase(), wanted.toLowerCase()];
  return pattern.endsWith('*') ? given.startsWith(pattern.slice(0, -1)) : given === pattern;
}
