import { type KeyType, type RecordSource, isWrongType, wrongType } from '../unreadable.js';

/** What Redis calls the types. */
const TYPE_NAMES: Readonly<Record<string, string>> = { 'sorted set': 'zset' };

/** What a read returned, and the keys that it went without. */
export interface ReadPast<T> {
  readonly value: T;
  readonly without: ReadonlySet<string>;
}

/**
 * Runs a script that reads several keys. If one of them is not of its type, it is reported, and the script runs again with a key
 * that does not exist in its place. Costs nothing more where all are well.
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
    // It was put right meanwhile, or it is a key that the script makes up itself.
    if (without.size === 0) throw error;
    for (const [key, type] of expected) if (without.has(key)) unreadable.report({ key, problem: wrongType(type) });
    return { value: await read(...names.map((key) => (without.has(key) ? keys.nothing : key))), without };
  }
}

function redisType(type: KeyType | undefined): string | undefined {
  return type && (TYPE_NAMES[type] ?? type);
}
