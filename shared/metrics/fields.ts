/**
 * The fields of `p:metrics:counters`: what is counted, then its labels, joined by `|`, which no name of a task or queue has.
 *
 * - `enqueued|<queue>|<name>`, `retried|<queue>|<name>`, `finished|<queue>|<name>|<outcome>`
 * - `wait|<queue>|<bucket>`, `run|<queue>|<name>|<bucket>`, `stop|<phase>|<bucket>`: the bucket by its upper bound in ms or
 *   `inf`, each value in one bucket; in the place of the bucket `sum`: all values, in whole ms
 * - `stops|<outcome>|<via>`, `repairs|<kind>`, `unreadable|<kind>`
 *
 * And of `p:metrics:minutes:<minute>`: `completed`, `failed`, `cancelled`, and `stop|<narrow bucket>`.
 */
const COUNTED = ['enqueued', 'retried', 'finished', 'wait', 'run', 'stop', 'stops', 'repairs', 'unreadable'] as const;
export type Counted = (typeof COUNTED)[number];

const SEPARATOR = '|';
/** In the place of a bucket: all values, and the bucket of those that are in no other one. */
export const SUM = 'sum';
export const INF = 'inf';
/** In the place of a name that is nobody's definition. */
export const UNKNOWN = 'unknown';

export function fieldOf(counted: Counted, ...labels: readonly (string | number)[]): string {
  return [counted, ...labels].join(SEPARATOR);
}

/** What a field counts, and its labels; null for one that this version does not know. */
export function parseField(field: string): { readonly counted: Counted; readonly labels: readonly string[] } | null {
  const [first, ...labels] = field.split(SEPARATOR);
  const counted = COUNTED.find((name) => name === first);
  return counted ? { counted, labels } : null;
}
