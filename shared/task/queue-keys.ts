import type { Keys } from '../keys.js';
import type { RedisConnection } from '../redis/connection.js';
import { moveAwayCommand } from '../redis/reply-error.js';

/** The keys of a BullMQ queue beside its jobs, and the type of each. `test/contract` holds them to BullMQ's version. */
const TYPES = {
  ...{
    wait: 'list',
    active: 'list',
    paused: 'list',
    prioritized: 'zset',
    delayed: 'zset',
    completed: 'zset',
    failed: 'zset',
    'waiting-children': 'zset',
  },
  ...{
    marker: 'zset',
    repeat: 'zset',
    stalled: 'set',
    events: 'stream',
    meta: 'hash',
    id: 'string',
    pc: 'string',
    limiter: 'string',
    'stalled-check': 'string',
  },
} as const;

/** A key of a queue that holds something else than BullMQ keeps there. */
export interface WrongKey {
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  /** The command that moves it away. */
  readonly repair: string;
}

/** The keys of a queue that have the wrong type, as a job whose id is the name of such a key makes it. One round trip. */
export async function wrongKeysOf(redis: RedisConnection, keys: Keys, queue: string): Promise<WrongKey[]> {
  const expected = Object.entries(TYPES);
  const names = expected.map(([name]) => keys.jobs(queue) + name);
  const found = await Promise.all(names.map((name) => redis.type(name)));
  return expected.flatMap(([, type], index) => {
    const key = names[index] as string;
    const is = found[index] as string;
    return is === 'none' || is === type ? [] : [{ key, expected: type, found: is, repair: moveAwayCommand(key) }];
  });
}

/** In words, with the commands that repair it. */
export function describeWrongKeys(wrong: readonly WrongKey[]): string {
  return wrong.map(({ key, expected, found, repair }) => `${key} holds a ${found} instead of a ${expected}: ${repair}`).join('; ');
}

/** A queue that a worker cannot fetch from, as its heartbeat says: why, and what repairs it. */
export interface BrokenQueue {
  readonly queue: string;
  readonly problem: string;
}

/** The field `broken` of a heartbeat; what is no such list is empty. */
export function parseBrokenQueues(json: string | null | undefined): BrokenQueue[] {
  try {
    const list: unknown = JSON.parse(json ?? '[]');
    return Array.isArray(list) ? list.filter(isBrokenQueue) : [];
  } catch {
    return [];
  }
}

function isBrokenQueue(value: unknown): value is BrokenQueue {
  const { queue, problem } = (value ?? {}) as Partial<BrokenQueue>;
  return typeof queue === 'string' && typeof problem === 'string';
}
