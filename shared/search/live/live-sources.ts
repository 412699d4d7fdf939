import { chunks } from '../../limits.js';
import { indexedName } from '../../registry/find-index.js';
import { readPast } from '../../registry/reads.js';
import type { WalkedTasks } from '../../scripts/define-scripts.js';
import type { CheckedFilter } from '../../task/filter/filter.js';
import { isOnQueue } from '../../task/shards.js';
import { type TimeRange, timesOf } from '../conditions.js';
import { type Candidate, type Position, comparing } from '../order.js';
import { type Option, type SearchStore, type Source, UnsortedSource, cheapest } from '../source.js';
import { itemsOf } from '../texts.js';
import { type Loaded, LiveTexts, candidatesOf } from './live-texts.js';
import { placesOf, readPlaces, sizeOfPlaces } from './places.js';

/** Entries per script: none takes longer than a few ms. */
const WALKED_AT_ONCE = 1_000;
const SCORES_AT_ONCE = 1_000;
/** An entry that is compared without its job costs a tenth of one whose job is read. */
const CHEAP = 0.1;
/** Most indexes merged for a page. */
const MAX_INDEXES = 64;

interface Walk {
  readonly index: string;
  /** An index that has the tasks too. */
  readonly also: string;
  readonly idStart?: string;
}

/** Chooses how to find the live tasks of a filter: by an index, by the lists of their queues, or in the list of all live tasks. */
export class LiveSources {
  constructor(
    private readonly store: SearchStore,
    private readonly filter: CheckedFilter,
    /** The queues that the filter selects; null for all. */
    private readonly queues: readonly string[] | null,
    private readonly allQueues: () => Promise<readonly string[]>,
  ) {}

  async choose(now: number): Promise<Source[]> {
    const { redis, keys, unreadable } = this.store;
    const times = timesOf(this.filter, 'live', now);
    if (times === null) return [];
    const [mark, live, ours] = await Promise.all([
      redis.exists(keys.findComplete),
      unreadable.read(keys.live, 'sorted set', redis.zcard(keys.live), 0),
      unreadable.read(keys.taskQueues, 'hash', redis.hlen(keys.taskQueues), 0),
    ]);
    // The indexes of an empty registry are complete. A reader without the right to write leaves the mark to the reconciler.
    if (mark === 0 && live === 0 && ours === 0) await redis.set(keys.findComplete, 1).catch(() => null);
    const all = { index: keys.live, also: keys.live };
    const options: (Option | null)[] = [{ size: live, isWhole: false, sources: () => [this.#walk(all, times)] }];
    options.push(await this.#places(times));
    if (mark === 1)
      options.push(await this.#names(times), await this.#tags(times), await this.#items(times), await this.#search(times, live));
    else options.push(await this.#oneItem(times));
    return cheapest(options.filter((option) => option !== null));
  }

  /** Reads an index, or the list of live tasks, in order. */
  #walk({ index, also, idStart = '' }: Walk, { after, before }: TimeRange): Source {
    const { redis, keys } = this.store;
    const { order } = this.filter;
    const expected = [index, keys.live, keys.taskQueues, also].map(
      (key) => [key, key === keys.taskQueues ? 'hash' : 'sorted set'] as const,
    );
    return {
      read: async (from: Position | null) => {
        const position = [from?.at ?? '', from?.id ?? ''];
        const { value } = await readPast(this.store, expected, (...names): Promise<WalkedTasks> =>
          redis.walkLive(
            ...names,
            ...[order, after ?? '', before ?? ''],
            ...position,
            ...[WALKED_AT_ONCE, idStart],
            ...(this.queues ?? []),
          ),
        );
        const [examined, more, at, id, ...flat] = value;
        const cost = examined * (idStart === '' ? 1 : CHEAP);
        return { found: candidatesOf(flat), examined, cost, upTo: more === 1 ? { at: Number(at), id } : null };
      },
    };
  }

  /** The lists of the queues, if they are the places of few states. */
  async #places(times: TimeRange): Promise<Option | null> {
    const places = placesOf(this.filter.states);
    if (places === null) return null;
    const queues = this.queues ?? (await this.allQueues());
    const load = async () => {
      const listed = await readPlaces(this.store, queues, places);
      return { found: await this.#dated(listed, times), examined: listed.length };
    };
    return { size: await sizeOfPlaces(this.store, queues, places), isWhole: true, sources: () => [this.#unsorted(load)] };
  }

  /** Adds the time of their enqueue to tasks, and leaves out those that are not registered. */
  async #dated(listed: readonly (readonly [id: string, queue: string])[], times: TimeRange): Promise<Candidate[]> {
    const { redis, keys, unreadable } = this.store;
    const scores = await Promise.all(
      chunks(listed, SCORES_AT_ONCE).map((some) =>
        unreadable.read(keys.live, 'sorted set', redis.zmscore(keys.live, ...some.map(([id]) => id)), []),
      ),
    );
    return scores.flat().flatMap((score, index): Candidate[] => {
      const [id, queue] = listed[index] as readonly [string, string];
      const at = Number(score ?? Number.NaN);
      return isWithin(at, times) ? [{ id, queue, at: Math.trunc(at), isSifted: false }] : [];
    });
  }

  async #names(times: TimeRange): Promise<Option | null> {
    const { redis, keys, unreadable } = this.store;
    const { name, queue } = this.filter;
    if (name === null && queue === null) return null;
    const names =
      name !== null && !name.prefix ? [indexedName(name.text)] : await this.#namesThat((one) => name === null || one.startsWith(name.text));
    if (names.length > MAX_INDEXES) return null;
    const indexes = names.map((one) => keys.findName(one));
    const sizes = await Promise.all(indexes.map((key) => unreadable.read(key, 'sorted set', redis.zcard(key), 0)));
    const [tag] = this.filter.tags;
    const sources = (): Source[] =>
      indexes.map((index) => this.#walk({ index, also: tag === undefined ? index : keys.findTag(tag) }, times));
    return { size: sizes.reduce((sum, size) => sum + size, 0), isWhole: false, sources };
  }

  /** Returns the names of live tasks on the queues of the filter. */
  async #namesThat(isWanted: (name: string) => boolean): Promise<string[]> {
    const { redis, keys, unreadable } = this.store;
    const { queue } = this.filter;
    const members = await unreadable.read(keys.findNames, 'set', redis.smembers(keys.findNames), []);
    const names = members.flatMap((member) => {
      const colon = member.indexOf(':');
      const [of, name] = [member.slice(0, Math.max(colon, 0)), member.slice(colon + 1)];
      return colon > 0 && (queue === null || isOnQueue(of, queue)) && isWanted(name) ? [name] : [];
    });
    return [...new Set(names)];
  }

  async #tags(times: TimeRange): Promise<Option | null> {
    const { redis, keys, unreadable } = this.store;
    const { tags, name } = this.filter;
    if (tags.length === 0) return null;
    const sizes = await Promise.all(
      tags.map(async (tag) => ({
        index: keys.findTag(tag),
        size: await unreadable.read(keys.findTag(tag), 'sorted set', redis.zcard(keys.findTag(tag)), 0),
      })),
    );
    const { index, size } = sizes.reduce((best, one) => (one.size < best.size ? one : best));
    const also = name !== null && !name.prefix ? keys.findName(indexedName(name.text)) : index;
    return { size, isWhole: false, sources: () => [this.#walk({ index, also }, times)] };
  }

  async #items(times: TimeRange): Promise<Option | null> {
    const items = itemsOf(this.filter);
    if (items === null) return null;
    const { size, loads } = await this.#texts(times).ofItems(items);
    return { size, isWhole: true, sources: () => loads.map((load) => this.#unsorted(load)) };
  }

  /** The tasks whose item, tag or name starts with the text, and the walk over all ids for those whose id does. */
  async #search(times: TimeRange, live: number): Promise<Option | null> {
    const { keys } = this.store;
    const { search } = this.filter;
    if (search === null) return null;
    const texts = [{ text: search, prefix: true }];
    const names = await this.#namesThat((name) => name.startsWith(search));
    const [items, tags] = await Promise.all([this.#texts(times).ofItems(texts), this.#texts(times).ofTags(texts)]);
    const size = items.size + tags.size;
    if (names.length > MAX_INDEXES) return null;
    const sources = (): Source[] => [
      ...[...items.loads, ...tags.loads].map((load) => this.#unsorted(load)),
      ...names.map((name) => this.#walk({ index: keys.findName(name), also: keys.findName(name) }, times)),
      this.#walk({ index: keys.live, also: keys.live, idStart: search }, times),
    ];
    return { size: size + live * CHEAP, isWhole: size > 0, sources };
  }

  /** Without complete indexes, the set of the item's tasks. */
  async #oneItem(times: TimeRange): Promise<Option | null> {
    const { item } = this.filter;
    if (item === null || item.prefix) return null;
    const entries = await this.store.registry.findItem(item.text);
    const isWanted = (queue: string): boolean => this.queues === null || this.queues.includes(queue);
    const listed = [...entries].flatMap(([id, entry]): [string, string][] => {
      const queue = entry?.queue ?? '';
      return isWanted(queue) ? [[id, queue]] : [];
    });
    const load = async () => ({ found: await this.#dated(listed, times), examined: listed.length });
    return { size: listed.length, isWhole: true, sources: () => [this.#unsorted(load)] };
  }

  #texts(times: TimeRange): LiveTexts {
    return new LiveTexts(this.store, this.queues, times);
  }

  #unsorted(load: () => Promise<Loaded>): Source {
    return new UnsortedSource(load, comparing(this.filter.order));
  }
}

function isWithin(at: number, { after, before }: TimeRange): boolean {
  return at >= 0 && (after === null || at > after) && (before === null || at < before);
}
