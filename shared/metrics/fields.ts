/**
 * The fields of `p:metrics:counters`: counter and labels, joined by `|`, which names of tasks and queues cannot contain.
 *
 * - `enqueued|<queue>|<name>`, `retried|<queue>|<name>`, `finished|<queue>|<name>|<outcome>`
 * - `wait|<queue>|<bucket>`, `run|<queue>|<name>|<bucket>`, `stop|<phase>|<bucket>`: the bucket is its upper bound in ms, `inf`,
 *   or `sum` for the sum of all values in whole ms; each value counts in one bucket
 * - `stops|<outcome>|<via>`, `repairs|<kind>`, `unreadable|<kind>`
 *
 * The fields of `p:metrics:minutes:<minute>`: `completed`, `failed`, `cancelled`, and `stop|<narrow bucket>`.
 */
const COUNTED = ['enqueued', 'retried', 'finished', 'wait', 'run', 'stop', 'stops', 'repairs', 'unreadable'] as const;
export type Counted = (typeof COUNTED)[number];

const SEPARATOR = '|';
/** Label of the sum of all values, in place of a bucket. */
export const SUM = 'sum';
/** Label of the last bucket. */
export const INF = 'inf';
/** Label of task names without a definition. */
export const UNKNOWN = 'unknown';

export function fieldOf(counted: Counted, ...labels: readonly (string | number)[]): string {
  return [counted, ...labels].join(SEPARATOR);
}

/** Parses a field into counter and labels; null for a field that this version does not know. */
export function parseField(field: string): { readonly counted: Counted; readonly labels: readonly string[] } | null {
  const [first, ...labels] = field.split(SEPARATOR);
  const counted = COUNTED.find((name) => name === first);
  return counted ? { counted, labels } : null;
}
