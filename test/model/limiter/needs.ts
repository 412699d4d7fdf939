import type { LimitStep } from '../../../shared/limiter/marks.js';

/** What a task needs before it may start, in the order in which it takes it. */
export interface Needs {
  readonly keys: readonly Key[];
  readonly turn: 'x' | 'y' | null;
  readonly cost: 0 | 1 | 300;
  readonly whole: boolean;
  readonly maxWaiting: 2 | null;
}

export const QUEUE = 'lines';
export const KEYS = ['g:x', 'g:y', 'h:x', 'h:y'] as const;
export type Key = (typeof KEYS)[number];
/** The limit of each owner of keys, and of the whole task, unless another was set. */
const PLACES: Readonly<Record<string, number>> = { 'group:g': 1, 'group:h': 2, 'task:t': 3 };
/** A cost of 300 is above the burst. */
const RATE = [2_000, 100, 100] as const;

/** The ids of keys and owners whose limits a run may change. */
export const SETTABLE = [...KEYS.map((key) => `group:${key}`), 'group:g:*', 'group:h:*', 'task:t:'];

export function stepsOf({ keys, turn, cost, whole, maxWaiting }: Needs): LimitStep[] {
  const place = (owner: string, key: string, keyed: boolean): LimitStep => ({
    ...{ kind: 'place', id: `${owner}:${key}`, limit: `${owner}#0`, max: PLACES[owner] as number, keyed },
    ...(maxWaiting !== null && { maxWaiting }),
  });
  return [
    ...keys.map((key) => place(`group:${key[0]}`, key.slice(2), true)),
    ...(turn === null ? [] : [{ kind: 'turn', id: `queue:${QUEUE}:${turn}`, limit: 'turn', max: 2, keyed: true } as const]),
    ...(cost === 0 ? [] : [{ kind: 'rate', id: 'rate:task:t#0:', limit: 'task:t#0', max: RATE, keyed: false, cost } as const]),
    ...(whole ? [place('task:t', '', false)] : []),
  ];
}

/** Returns the limit of a key: its own if it was set, else its owner's, else the definition's; for a turn, 2. */
export function limitOf(id: string, set: ReadonlyMap<string, number>): number {
  if (id.startsWith('queue:')) return 2;
  const owner = id.split(':', 2).join(':');
  return set.get(id) ?? set.get(`${owner}:*`) ?? (PLACES[owner] as number);
}
