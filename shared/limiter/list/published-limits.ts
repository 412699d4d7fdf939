import { quote } from '../../keys.js';
import type { RecordSource } from '../../records/unreadable.js';
import { EVERY_KEY, type LimitName, parseLimitId } from '../limit-id.js';

/** A limit of a definition, as the workers publish it. */
export interface PublishedLimit extends LimitName {
  /** The entry: `task:chat#0`, with `rate:` in front for a rate. */
  readonly entry: string;
  /** Null if unreadable. */
  readonly limit: number | null;
  readonly perMs: number | null;
  readonly burst: number | null;
  readonly problem: string | null;
}

/** The limits that workers publish, and those that were set at run time. */
export interface LimitSettings {
  /** By entry. */
  readonly published: ReadonlyMap<string, PublishedLimit>;
  /** By the key's id, or `<owner>:*`; null for an unreadable number. */
  readonly set: ReadonlyMap<string, number | null>;
}

const ENTRY = /^((?:rate:)?(?:task|group):[^:#]+)#\d+$/;

/** Reads both hashes in one round trip. Reports unreadable fields. */
export async function readLimitSettings({ redis, keys, unreadable }: RecordSource): Promise<LimitSettings> {
  const [definedKey, setKey] = [keys.limiter('defined'), keys.limiter('set')];
  const [defined, stored] = await Promise.all([
    unreadable.read(definedKey, 'hash', redis.hgetall(definedKey), {}),
    unreadable.read(setKey, 'hash', redis.hgetall(setKey), {}),
  ]);
  const published = new Map<string, PublishedLimit>();
  for (const [entry, text] of Object.entries(defined)) {
    const owner = ENTRY.exec(entry)?.[1];
    if (owner === undefined) continue;
    const limit = publishedOf(entry, isWhole(defined, entry, owner), text);
    if (limit.problem !== null) unreadable.report({ key: definedKey, id: entry, problem: limit.problem });
    published.set(entry, limit);
  }
  const set = new Map<string, number | null>();
  for (const [id, text] of Object.entries(stored)) {
    const limit = /^\d{1,7}$/.test(text) ? Number(text) : null;
    if (limit === null) unreadable.report({ key: setKey, id, problem: `expected a whole number, got ${quote(text)}` });
    set.set(id, limit);
  }
  return { published, set };
}

/** Returns the fields of `p:limits:defined` for a limit: the entry, and for a limit without keys its only id, which names the entry. */
export function publishedFields(entry: string, max: number | readonly number[], keyed: boolean): string[] {
  return [entry, JSON.stringify(max), ...(keyed ? [] : [wholeId(entry), entry])];
}

/** Returns the id of an entry without keys: `task:chat:`; of a rate `rate:task:chat#0:`. */
export function wholeId(entry: string): string {
  return entry.startsWith('rate:') ? `${entry}:` : `${entry.replace(/#\d+$/, '')}:`;
}

function isWhole(defined: Readonly<Record<string, string>>, entry: string, owner: string): boolean {
  return defined[entry.startsWith('rate:') ? `${entry}:` : `${owner}:`] === entry;
}

function publishedOf(entry: string, whole: boolean, text: string): PublishedLimit {
  const { kind, name } = parseLimitId(wholeId(entry));
  const named = { entry, kind, name, key: whole ? null : EVERY_KEY };
  const numbers = numbersOf(text);
  const expected = kind === 'rate' ? 3 : 1;
  if (numbers?.length !== expected) {
    const problem = `expected ${kind === 'rate' ? 'a limit, a period in ms and a burst' : 'a number'}, got ${quote(text)}`;
    return { ...named, limit: null, perMs: null, burst: null, problem };
  }
  const [limit = null, perMs = null, burst = null] = numbers;
  return { ...named, limit, perMs, burst, problem: null };
}

function numbersOf(text: string): number[] | null {
  try {
    const value: unknown = JSON.parse(text);
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    return list.every((one) => typeof one === 'number' && Number.isFinite(one)) ? (list as number[]) : null;
  } catch {
    return null;
  }
}
