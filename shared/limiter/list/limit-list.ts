import { chunks } from '../../limits.js';
import type { RecordSource } from '../../records/unreadable.js';
import type { ScriptedRedis } from '../../scripts/define-scripts.js';
import { EVERY_KEY, ownerOf, parseLimitId } from '../limit-id.js';
import type { KeyStatus } from '../standing.js';
import { describeKeys } from './key-status.js';
import type { LimitView } from './limit-view.js';
import { type LimitSettings, readLimitSettings, wholeId } from './published-limits.js';

/** A position in the list. The limits without a line come after those with one. */
export type LimitPosition =
  | { readonly kind: 'line'; readonly since: number; readonly id: string }
  | { readonly kind: 'rest'; readonly id: string };

export interface LimitListPage {
  readonly limits: LimitView[];
  /** Null on the last page. */
  readonly next: LimitPosition | null;
}

interface ListQuery {
  /** Only limits of this name; null for all. */
  readonly name: string | null;
  readonly after: LimitPosition | null;
  readonly limit: number;
}

interface ListSource extends RecordSource {
  readonly redis: ScriptedRedis;
}

/** Keys described by one script, because a script blocks Redis. */
const DESCRIBED_AT_ONCE = 100;
/** Lines read at once to find those of one name. */
const SIFTED_AT_ONCE = 1_000;
/** Lines read for one page, so that a rare name among many lines yields a short page with a `next`, not a long wait. */
const MAX_SCANNED = 20_000;

/** Lists limits: keys with a line, those that have waited longest first, then what was set and what the workers publish. */
export class LimitList {
  constructor(private readonly source: ListSource) {}

  async page({ name, after, limit }: ListQuery): Promise<LimitListPage> {
    const settings = await readLimitSettings(this.source);
    const limits: LimitView[] = [];
    if (after?.kind !== 'rest') {
      const { ids, next } = await this.#lines(name, after, limit);
      limits.push(...(await this.describe(ids, settings)));
      if (next !== null) return { limits, next };
    }
    const rest = restOf(settings, name).filter((id) => after?.kind !== 'rest' || id > after.id);
    const some = rest.slice(0, limit - limits.length);
    // Those with a line were listed as such.
    limits.push(...(await this.describe(some, settings)).filter(({ waiting }) => waiting === 0));
    return { limits, next: some.length < rest.length ? { kind: 'rest', id: some.at(-1) ?? '' } : null };
  }

  /** Describes keys by their ids, and published limits on each key by their entries. */
  async describe(ids: readonly string[], settings: LimitSettings): Promise<LimitView[]> {
    const { redis, keys, unreadable } = this.source;
    const described = await Promise.all(
      chunks(ids, DESCRIBED_AT_ONCE).map((some) =>
        unreadable.read(
          keys.limiter('tasks'),
          'hash',
          describeKeys(redis, keys, some),
          some.map((): KeyStatus | null => null),
        ),
      ),
    );
    return described.flat().map((status, index) => viewOf(ids[index] as string, status, settings));
  }

  /** Returns the ids of keys with a line after a position, those that have waited longest first. */
  async #lines(name: string | null, after: LimitPosition | null, limit: number): Promise<{ ids: string[]; next: LimitPosition | null }> {
    const ids: string[] = [];
    const size = name === null ? limit : SIFTED_AT_ONCE;
    let at = after?.kind === 'line' ? after : null;
    for (let scanned = 0; scanned < MAX_SCANNED; scanned += size) {
      const some = await this.#linesAfter(at, size);
      for (const line of some) {
        at = { kind: 'line', ...line };
        if (name !== null && parseLimitId(line.id).name !== name) continue;
        ids.push(line.id);
        if (ids.length === limit) return { ids, next: at };
      }
      if (some.length < size) return { ids, next: null };
    }
    return { ids, next: at };
  }

  async #linesAfter(
    after: { readonly since: number; readonly id: string } | null,
    limit: number,
  ): Promise<{ since: number; id: string }[]> {
    const { redis, keys, unreadable } = this.source;
    const key = keys.limiter('lines');
    const read = (reading: Promise<string[]>): Promise<string[]> => unreadable.read(key, 'sorted set', reading, []);
    // Lines of the same millisecond share a score: skip those already listed.
    const seen = after === null ? [] : await read(redis.zrangebyscore(key, after.since, after.since));
    const skip = seen.filter((id) => after !== null && id <= after.id).length;
    const from = after === null ? '-inf' : String(after.since);
    const flat = await read(redis.zrange(key, from, '+inf', 'BYSCORE', 'LIMIT', skip, limit, 'WITHSCORES'));
    return chunks(flat, 2).map(([id = '', since]) => ({ id, since: Number(since) }));
  }
}

/** Returns the ids and entries of limits that were set or published, sorted. */
function restOf({ published, set }: LimitSettings, name: string | null): string[] {
  const entries = [...published.values()].map(({ entry, key }) => (key === null ? wholeId(entry) : entry));
  const keyed = new Set([...published.values()].flatMap((limit) => (limit.key === null || limit.kind === 'rate' ? [] : [limit.name])));
  // What is set for every key is shown by the published limits that it replaces.
  const own = [...set.keys()].filter((id) => parseLimitId(id).key !== EVERY_KEY || !keyed.has(parseLimitId(id).name));
  const ids = [...new Set([...entries, ...own])].sort();
  return name === null ? ids : ids.filter((id) => nameOf(id, published) === name);
}

function nameOf(id: string, published: LimitSettings['published']): string {
  return published.get(id)?.name ?? parseLimitId(id).name;
}

/** @param status null for what cannot be described */
function viewOf(id: string, status: KeyStatus | null, { published, set }: LimitSettings): LimitView {
  const entry = published.get(id);
  const { kind, name, key } = entry ?? parseLimitId(id);
  const isOfEach = key === EVERY_KEY;
  const every = kind === 'concurrency' && key !== null ? set.get(`${ownerOf(name)}:${EVERY_KEY}`) : undefined;
  const given = (isOfEach ? undefined : set.get(id)) ?? every ?? null;
  const source =
    entry ??
    (kind === 'rate'
      ? published.get(id.replace(/^(rate:[^#]*#\d+):[^]*$/, '$1'))
      : [...published.values()].find((limit) => limit.key === null && wholeId(limit.entry) === id));
  return {
    ...{
      kind,
      name,
      key,
      limit: given ?? source?.limit ?? status?.limit ?? null,
      perMs: source?.perMs ?? null,
      burst: source?.burst ?? null,
    },
    source: given === null ? 'definition' : 'set',
    ...{ running: status?.running ?? 0, waiting: status?.waiting ?? 0 },
    ...{ waitingSince: status?.waitingSince ?? null, nextAt: status?.waiting ? status.until : null },
    problem: source?.problem ?? (set.get(id) === null ? 'what is set: expected a whole number' : null),
  };
}
