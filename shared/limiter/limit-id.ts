/** A key of the limiter in public words. */
export interface LimitName {
  /** The option of the definition that sets the limit. */
  readonly kind: LimitKind;
  /** The owner of the limit: a task name, `group:<name>`, or for the turns of a fair queue `queue:<name>`. */
  readonly name: string;
  /** Null for a limit on all tasks of the owner; `*` for a limit on each key. */
  readonly key: string | null;
}

export type LimitKind = 'concurrency' | 'fair' | 'rate';

/** In a setting: every key of its owner that has no setting of its own. */
export const EVERY_KEY = '*';

/** Names of tasks, groups and queues contain neither a colon nor a number sign. */
const ID = /^(rate:)?(task|group|queue):([^:#]+)(?:#\d+)?:([^]*)$/;

/** Parses the id of a key. An id of another shape, which no version of this package writes, is its own name. */
export function parseLimitId(id: string): LimitName {
  const [, rate, owner, name = '', key = ''] = ID.exec(id) ?? [];
  if (owner === undefined) return { kind: 'concurrency', name: id, key: null };
  const kind = rate === undefined ? (owner === 'queue' ? 'fair' : 'concurrency') : 'rate';
  return { kind, name: owner === 'task' ? name : `${owner}:${name}`, key: key === '' ? null : key };
}

/** Returns the id of a concurrency key. @param name a task name or `group:<name>` */
export function concurrencyId(name: string, key: string | null): string {
  return `${ownerOf(name)}:${key ?? ''}`;
}

/** Returns the owner of a limit as the limiter's ids have it. */
export function ownerOf(name: string): string {
  return name.startsWith('group:') ? name : `task:${name}`;
}
