import type { RecordSource } from '../records/unreadable.js';
import { type EndedKind, areLimits } from './limits.js';

/** An index: the ended tasks of one queue, kind and name. */
export interface EndedIndex {
  readonly kind: EndedKind;
  readonly name: string;
  /** `<kind>:<name>`, as in `p:bull:<queue>:kept:limits`. */
  readonly field: string;
  readonly key: string;
  /** The limits last applied to it. */
  readonly limits: string;
}

/** The member of a queue's index of texts that says that it is complete. */
export const TEXTS_COMPLETE = 'complete';

const FIELD = /^(completed|failed|cancelled):(.*)$/s;

/** Returns the kind and name of an index by its field; null for any other field. */
export function nameOfIndex(field: string): { readonly kind: EndedKind; readonly name: string } | null {
  const [, kind, name = ''] = FIELD.exec(field) ?? [];
  return kind === undefined ? null : { kind: kind as EndedKind, name };
}

/** Reads the indexes of a queue in the order of their fields. Reports those that cannot be read. */
export async function readIndexes({ redis, keys, unreadable }: RecordSource, queue: string): Promise<EndedIndex[]> {
  const key = keys.keptLimits(queue);
  const stored = Object.entries(await unreadable.read(key, 'hash', redis.hgetall(key), {}));
  const indexes = stored.flatMap(([field, limits]): EndedIndex[] => {
    const index = nameOfIndex(field);
    if (index !== null && areLimits(limits)) return [{ ...index, field, key: keys.kept(queue, index.kind, index.name), limits }];
    unreadable.report({ key, id: field, problem: 'expected the limits of a retention, such as 3600:1000' });
    return [];
  });
  return indexes.toSorted((a, b) => (a.field < b.field ? -1 : 1));
}
