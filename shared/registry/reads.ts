import { isName, quote } from '../keys.js';
import { type KeyType, type RecordSource, isWrongType, wrongType } from '../records/unreadable.js';

/** Redis' names of types. */
const TYPE_NAMES: Readonly<Record<string, string>> = { 'sorted set': 'zset' };

/** The result of a read. */
export interface ReadPast<T> {
  readonly value: T;
  /** Keys of the wrong type, which were left out. */
  readonly without: ReadonlySet<string>;
}

/**
 * Runs a script that reads several keys. If keys have the wrong type, reports them and runs the script again with a nonexistent
 * key in their place. Costs nothing extra if all types are right.
 * @param expected the type of each key, in the order of the script's keys
 */
export async function readPast<T>(
  { redis, keys, unreadable }: RecordSource,
  expected: readonly (readonly [key: string, type: KeyType])[],
  read: (...names: string[]) => Promise<T>,
): Promise<ReadPast<T>> {
  const names = expected.map(([key]) => key);
  try {
    return { value: await read(...names), without: new Set() };
  } catch (error) {
    if (!isWrongType(error)) throw error;
    const types = await Promise.all(names.map((key) => redis.type(key)));
    const without = new Set(names.filter((_, index) => types[index] !== 'none' && types[index] !== redisType(expected[index]?.[1])));
    // The key was repaired meanwhile, or its name is built within the script.
    if (without.size === 0) throw error;
    for (const [key, type] of expected) if (without.has(key)) unreadable.report({ key, problem: wrongType(type) });
    return { value: await read(...names.map((key) => (without.has(key) ? keys.nothing : key))), without };
  }
}

function redisType(type: KeyType | undefined): string | undefined {
  return type && (TYPE_NAMES[type] ?? type);
}

/** More than any fleet has: with this many names, most are of queues that never existed. */
const MANY = 500;
/** A queue that was ever used has at least one of these BullMQ keys. */
const USED = ['meta', 'id', 'wait', 'active', 'delayed', 'prioritized', 'completed', 'failed', 'waiting-children'];

/** Returns all queues that ever had a task or worker, sorted. Reports invalid names; beyond 500 names, checks which queues exist. */
export async function readQueueNames(source: RecordSource): Promise<string[]> {
  const { redis, keys, unreadable } = source;
  const members = await unreadable.read(keys.queues, 'set', redis.smembers(keys.queues), []);
  const names = members.filter((name) => {
    if (!isName(name)) unreadable.report({ key: keys.queues, id: name, problem: `expected a queue name, got ${quote(name)}` });
    return isName(name);
  });
  return (names.length > MANY ? await existing(source, names) : names).sort();
}

async function existing({ redis, keys, unreadable }: RecordSource, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map((name) => redis.exists(...USED.map((key) => keys.jobs(name) + key))));
  const used = names.filter((_, index) => (found[index] ?? 0) > 0);
  if (used.length < names.length)
    unreadable.report({
      key: keys.queues,
      problem: `expected queue names; ${names.length - used.length} of ${names.length} queues have no key`,
    });
  return used;
}
