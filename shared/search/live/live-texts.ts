import { chunks } from '../../limits.js';
import { readPast } from '../../registry/reads.js';
import type { TextMatch } from '../../task/filter/filter.js';
import type { TimeRange } from '../conditions.js';
import type { Candidate } from '../order.js';
import { MAX_SEARCHED, type SearchStore } from '../source.js';
import { type TextRange, rangeOf, rangeOfItems } from '../texts.js';

/** Entries per script: none takes longer than a few ms. */
const TEXTS_AT_ONCE = 1_000;
const COUNTED_AT_ONCE = 500;
/** Items, each of which is a key, and tasks. */
const ITEMS_AT_ONCE = 250;

/** Tasks found, and the number of entries examined. */
export interface Loaded {
  readonly found: readonly Candidate[];
  readonly examined: number;
}

/** The tasks of some items or tags. */
export interface TextTasks {
  /** Their number; of more than a page may examine, a part. */
  readonly size: number;
  /** Read them, in no order. */
  readonly loads: readonly (() => Promise<Loaded>)[];
}

/** Finds live tasks by their items and tags. */
export class LiveTexts {
  /** @param queues those of the tasks; null for all */
  constructor(
    private readonly store: SearchStore,
    private readonly queues: readonly string[] | null,
    private readonly times: TimeRange,
  ) {}

  /** Producers of an older version add their tasks to the index of texts instead of the index of items. */
  async ofItems(items: readonly TextMatch[]): Promise<TextTasks> {
    const [older, sizes] = await Promise.all([
      this.#ofTexts(items.map((item) => rangeOf('i', item))),
      Promise.all(items.map((item) => this.#sizeOfItems(rangeOfItems(item)))),
    ]);
    const loads = items.filter((_, index) => sizes[index] !== 0).map((item) => () => this.#readItems(rangeOfItems(item)));
    return { size: sum(sizes) + older.size, loads: [...loads, ...(older.size > 0 ? older.loads : [])] };
  }

  ofTags(tags: readonly TextMatch[]): Promise<TextTasks> {
    return this.#ofTexts(tags.map((tag) => rangeOf('t', tag)));
  }

  async #ofTexts(ranges: readonly TextRange[]): Promise<TextTasks> {
    const { redis, keys, unreadable } = this.store;
    const count = ({ first, last }: TextRange): Promise<number> => redis.zlexcount(keys.findTexts, first, last);
    const sizes = await Promise.all(ranges.map((range) => unreadable.read(keys.findTexts, 'sorted set', count(range), 0)));
    return { size: sum(sizes), loads: ranges.map((range) => () => this.#readTexts(range)) };
  }

  /** Counts the tasks of items, up to more than a page may examine. */
  async #sizeOfItems({ first, last }: TextRange): Promise<number> {
    const { redis, keys, unreadable } = this.store;
    for (let size = 0, from = first; ;) {
      const sets = [keys.ownItem(''), keys.item('')] as const;
      const counting = redis.countItems(keys.findItems, ...sets, from, last, COUNTED_AT_ONCE, MAX_SEARCHED - size);
      const [count, item] = await unreadable.read(keys.findItems, 'sorted set', counting, [0, '']);
      size += count;
      if (item === '') return size;
      from = `(${item}`;
    }
  }

  async #readItems({ first, last }: TextRange): Promise<Loaded> {
    const { redis, keys } = this.store;
    const { after, before } = this.times;
    const found: Candidate[] = [];
    for (let examined = 0, from: string = first, within = ''; ;) {
      const { value } = await readPast(this.store, this.#expected(keys.findItems), (...names) =>
        redis.readLiveItems(
          ...[...names, keys.ownItem(''), keys.item(''), from, last, within, ITEMS_AT_ONCE],
          ...[after ?? '', before ?? '', ...(this.queues ?? [])],
        ),
      );
      const [count, next, cursor, ...flat] = value;
      found.push(...candidatesOf(flat));
      examined += count;
      if (next === '') return { found, examined };
      [from, within] = [next, cursor];
    }
  }

  async #readTexts({ first, last }: TextRange): Promise<Loaded> {
    const { redis, keys } = this.store;
    const { after, before } = this.times;
    const found: Candidate[] = [];
    for (let examined = 0, from: string = first; ;) {
      const { value } = await readPast(this.store, this.#expected(keys.findTexts), (...names) =>
        redis.readLiveTexts(...names, from, last, TEXTS_AT_ONCE, after ?? '', before ?? '', ...(this.queues ?? [])),
      );
      const [count, member, ...flat] = value;
      found.push(...candidatesOf(flat));
      examined += count;
      if (member === '') return { found, examined };
      from = `(${member}`;
    }
  }

  #expected(index: string) {
    const { live, taskQueues } = this.store.keys;
    return [
      [index, 'sorted set'],
      [live, 'sorted set'],
      [taskQueues, 'hash'],
    ] as const;
  }
}

/** Parses the tasks in the answer of a script: id, time and queue of each. */
export function candidatesOf(flat: readonly string[]): Candidate[] {
  return chunks(flat, 3).map(([id = '', at, queue = '']) => ({ id, at: Number(at), queue, isSifted: false }));
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
