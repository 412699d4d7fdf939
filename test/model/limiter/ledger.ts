import type { Redis } from 'ioredis';
import type { LimitStep } from '../../../shared/limiter/marks.js';

/** A task's record, as in docs/reference/redis-keys.md. */
export interface LedgerRecord {
  readonly state: 'line' | 'admitted' | 'running';
  readonly queue: string;
  readonly name: string;
  readonly priority: number;
  /** The order of joining. */
  readonly seq: number;
  /** The next step to acquire, from 1. */
  readonly step: number;
  readonly steps: readonly LimitStep[];
}

/** Returns the place of a task in its lines. */
export function scoreOf({ priority, seq }: LedgerRecord): number {
  return priority * 2 ** 32 + seq;
}

/** The keys of the limiter at one moment, without their common start. */
export interface Ledger {
  readonly records: ReadonlyMap<string, LedgerRecord>;
  /** Holders by the id of a key. */
  readonly places: ReadonlyMap<string, readonly string[]>;
  /** Waiting tasks in their order, each with its score, by the id of a key or rate. */
  readonly lines: ReadonlyMap<string, readonly (readonly [task: string, score: number])[]>;
  readonly admitted: ReadonlySet<string>;
  /** The rate lines with a time to go on. */
  readonly due: ReadonlySet<string>;
  readonly waiting: ReadonlyMap<string, number>;
  /** Every key with its expiry: -1 for none. */
  readonly keys: ReadonlyMap<string, number>;
}

const READ = `
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
  local type = redis.call('TYPE', key).ok
  local content = {}
  if type == 'hash' then content = redis.call('HGETALL', key)
  elseif type == 'zset' then content = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  found[#found + 1] = { string.sub(key, #ARGV[1] + 1), redis.call('PTTL', key), content }
end
return found`;

/** Reads all keys with this start at one moment. */
export async function readLedger(redis: Redis, start: string): Promise<Ledger> {
  const found = (await redis.eval(READ, 1, start, start)) as [key: string, ttl: number, content: string[]][];
  const contents = new Map(found.map(([key, , content]) => [key, pairs(content)]));
  const under = (prefix: string): [string, [string, string][]][] =>
    [...contents].filter(([key]) => key.startsWith(prefix)).map(([key, content]) => [key.slice(prefix.length), content]);
  const members = (key: string): Set<string> => new Set(contents.get(key)?.map(([member]) => member));
  return {
    records: new Map(contents.get('tasks')?.map(([id, text]) => [id, JSON.parse(text) as LedgerRecord])),
    places: new Map(under('places:').map(([id, content]) => [id, content.map(([holder]) => holder)])),
    lines: new Map(under('line:').map(([id, content]) => [id, content.map(([task, score]) => [task, Number(score)] as const)])),
    admitted: members('admitted'),
    due: members('due'),
    waiting: new Map(contents.get('waiting')?.map(([name, count]) => [name, Number(count)])),
    keys: new Map(found.map(([key, ttl]) => [key, ttl])),
  };
}

function pairs(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index] as string, flat[2 * index + 1] as string]);
}
