import type { Keys } from '../keys.js';
import type { RedisConnection } from '../redis/connection.js';
import { moveAwayCommand } from '../redis/reply-error.js';

/** The keys of a BullMQ queue besides its jobs, and their types. `test/contract` fails if BullMQ changes them. */
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

/** A key of a queue with the wrong type. */
export interface WrongKey {
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  /** The command that renames it. */
  readonly repair: string;
}

/** Finds a queue's keys of the wrong type, for example overwritten by a job with the key's name as id. One round trip. */
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

/** Describes wrong keys, with the commands that repair them. */
export function describeWrongKeys(wrong: readonly WrongKey[]): string {
  return wrong.map(({ key, expected, found, repair }) => `${key} holds a ${found} instead of a ${expected}: ${repair}`).join('; ');
}

/** A queue that a worker cannot fetch from, by its heartbeat, with the problem and the repair. */
export interface BrokenQueue {
  readonly queue: string;
  readonly problem: string;
}

/** Parses the field `broken` of a heartbeat; an invalid list is empty. */
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
