import type { TaskOrder } from '../task/filter/filter.js';

/** A position in a list: the tasks up to it were already listed. An empty id stands for the last task of the millisecond. */
export interface Position {
  readonly at: number;
  readonly id: string;
}

/** A task that may be in a list. */
export interface Candidate extends Position {
  /** `''` if it is unknown. */
  readonly queue: string;
  /** Whether a script has checked it against the filter. */
  readonly isSifted: boolean;
}

/** Compares positions in the order of a list: negative if the first one comes first. */
export function comparing(order: TaskOrder): (a: Position, b: Position) => number {
  const sign = order === 'newest' ? -1 : 1;
  return (a, b) => {
    if (a.at !== b.at) return sign * (a.at - b.at);
    if (a.id === b.id) return 0;
    if (a.id === '' || b.id === '') return a.id === '' ? 1 : -1;
    return sign * compareIds(a.id, b.id);
  };
}

const SURROGATE = /[\ud800-\udfff]/;

/** Compares ids by their bytes, as Redis does. */
function compareIds(a: string, b: string): number {
  if (SURROGATE.test(a) || SURROGATE.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : 1;
}
