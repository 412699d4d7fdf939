import { chunks } from '../limits.js';
import { TEXTS_COMPLETE, nameOfIndex } from '../retention/indexes.js';
import type { CheckedFilter } from '../task/filter/filter.js';
import { conditionsOf, timesOf } from './conditions.js';
import { type Candidate, type Position, comparing } from './order.js';
import { type Option, type SearchStore, type Source, UnsortedSource, cheapest } from './source.js';
import { type TextRange, itemsOf, rangeOf } from './texts.js';

/** Jobs per script: none takes longer than a few ms. */
const JOBS_AT_ONCE = 150;
/** Most indexes merged for a page, in a queue. */
const MAX_INDEXES = 64;
/** Tasks that ended less than this long ago may not be in the indexes yet, in ms. */
const INDEXED_AFTER_MS = 10_000;

const SETS = ['completed', 'failed'] as const;
type SetName = (typeof SETS)[number];
const KINDS = { completed: ['completed'], failed: ['failed', 'cancelled'] } as const;
/** The states of the tasks in an index of a kind. */
const STATES = { completed: ['completed', 'skipped'], failed: ['failed'], cancelled: ['cancelled'] } as const;
type Kind = keyof typeof STATES;

/** A queue's ended tasks, by the sizes of their sets and indexes. */
interface QueueSizes {
  readonly queue: string;
  readonly sets: Readonly<Record<SetName, number>>;
  readonly indexes: readonly { readonly kind: Kind; readonly name: string; readonly key: string; readonly size: number }[];
  /** Whether every indexed task with an item or tags is in the index of texts. */
  readonly hasTexts: boolean;
}

/** Chooses how to find the ended tasks of a filter on each queue: by the indexes of their retention or texts, or in BullMQ's sets. */
export class EndedSources {
  readonly #conditions: string;

  constructor(
    private readonly store: SearchStore,
    private readonly filter: CheckedFilter,
    private readonly queues: readonly string[],
    private readonly now: number,
  ) {
    this.#conditions = conditionsOf(filter, 'ended');
  }

  async choose(): Promise<Source[]> {
    const chosen = await Promise.all(this.queues.map(async (queue) => this.#ofQueue(await this.#sizesOf(queue))));
    return chosen.flat();
  }

  async #sizesOf(queue: string): Promise<QueueSizes> {
    const { redis, keys, unreadable } = this.store;
    const card = (key: string): Promise<number> => unreadable.read(key, 'sorted set', redis.zcard(key), 0);
    const jobs = keys.jobs(queue);
    const [completed, failed, fields, mark] = await Promise.all([
      ...SETS.map((set) => card(jobs + set)),
      unreadable.read(keys.keptLimits(queue), 'hash', redis.hkeys(keys.keptLimits(queue)), []),
      unreadable.read(keys.keptTexts(queue), 'sorted set', redis.zscore(keys.keptTexts(queue), TEXTS_COMPLETE), null),
    ] as [Promise<number>, Promise<number>, Promise<string[]>, Promise<string | null>]);
    const indexes = await Promise.all(
      fields.flatMap((field) => {
        const index = nameOfIndex(field);
        if (index === null) return [];
        const key = keys.kept(queue, index.kind, index.name);
        return [card(key).then((size) => ({ ...index, key, size }))];
      }),
    );
    return { queue, sets: { completed, failed }, indexes, hasTexts: mark !== null };
  }

  async #ofQueue(sizes: QueueSizes): Promise<Source[]> {
    const chosen: Source[] = [];
    const sets = SETS.filter((set) => sizes.sets[set] > 0 && this.#kindsOf(set).length > 0);
    const late = await Promise.all(sets.map((set) => this.#unindexed(sizes, set)));
    const texts = late.every((is) => is !== 'many') && sizes.hasTexts ? await this.#texts(sizes) : null;
    const bySets = sets.map((set, index) => this.#bySet(sizes, set, late[index] as 'none' | 'recent' | 'many'));
    const size = bySets.reduce((sum, option) => sum + option.size, 0);
    const options: Option[] = [{ size, isWhole: false, sources: () => bySets.flatMap((option) => option.sources()) }];
    if (texts !== null)
      options.push({
        ...texts,
        sources: () => [...texts.sources(), ...sets.flatMap((set, index) => (late[index] === 'recent' ? [this.#recent(sizes, set)] : []))],
      });
    chosen.push(...cheapest(options));
    return chosen;
  }

  #kindsOf(set: SetName): Kind[] {
    return KINDS[set].filter((kind) => STATES[kind].some((state) => this.filter.states.has(state)));
  }

  /** Whether the set has tasks that are not in its indexes: none, only ones that have just ended, or others, as of plain BullMQ clients. */
  async #unindexed({ queue, sets, indexes }: QueueSizes, set: SetName): Promise<'none' | 'recent' | 'many'> {
    const kinds: readonly Kind[] = KINDS[set];
    const missing = sets[set] - indexes.reduce((sum, { kind, size }) => sum + (kinds.includes(kind) ? size : 0), 0);
    if (missing <= 0) return 'none';
    const { redis, keys } = this.store;
    return missing <= (await redis.zcount(keys.jobs(queue) + set, this.now - INDEXED_AFTER_MS, '+inf')) ? 'recent' : 'many';
  }

  /** The set itself, or those of its indexes that the filter selects. */
  #bySet(sizes: QueueSizes, set: SetName, unindexed: 'none' | 'recent' | 'many'): Option {
    const whole = this.store.keys.jobs(sizes.queue) + set;
    const all: Option = { size: sizes.sets[set], isWhole: false, sources: () => [this.#walk(sizes.queue, set, whole)] };
    const { name } = this.filter;
    const kinds = this.#kindsOf(set);
    const isWanted = (text: string): boolean => name === null || (name.prefix ? text.startsWith(name.text) : text === name.text);
    const indexes = sizes.indexes.filter((index) => kinds.includes(index.kind) && index.size > 0 && isWanted(index.name));
    if (unindexed === 'many' || indexes.length > MAX_INDEXES) return all;
    const sources = (): Source[] => [
      ...indexes.map(({ key }) => this.#walk(sizes.queue, set, key)),
      ...(unindexed === 'recent' ? [this.#recent(sizes, set)] : []),
    ];
    const size = indexes.reduce((sum, index) => sum + index.size, 0);
    return size < all.size ? { size, isWhole: false, sources } : all;
  }

  #recent({ queue }: QueueSizes, set: SetName): Source {
    return this.#walk(queue, set, this.store.keys.jobs(queue) + set, this.now - INDEXED_AFTER_MS);
  }

  #walk(queue: string, set: SetName, index: string, since: number | null = null): Source {
    const { redis, keys, unreadable } = this.store;
    const { order } = this.filter;
    const times = timesOf(this.filter, 'ended', this.now);
    const after = Math.max(times?.after ?? -Infinity, since ?? -Infinity);
    const jobs = keys.jobs(queue);
    return {
      read: async (from: Position | null) => {
        const walking = redis.walkEnded(
          ...[index, jobs + set, jobs, this.#conditions, set, order],
          ...[after === -Infinity ? '' : after, times?.before ?? '', from?.at ?? '', from?.id ?? '', JOBS_AT_ONCE],
        );
        const [examined, more, at, id, ...flat] = await unreadable.read(index, 'sorted set', walking, [0, 0, '', '']);
        return { found: candidatesOf(queue, flat), examined, cost: examined, upTo: more === 1 ? { at: Number(at), id } : null };
      },
    };
  }

  /** The tasks by item or tag; null if the filter has neither. */
  async #texts({ queue }: QueueSizes): Promise<Option | null> {
    const ofTags = this.filter.tags.map((tag) => [rangeOf('t', { text: tag, prefix: false })]);
    const ofItems = itemsOf(this.filter);
    const ways = [...ofTags, ...(ofItems === null ? [] : [ofItems.map((one) => rangeOf('i', one))])];
    if (ways.length === 0) return null;
    const sizes = await Promise.all(ways.map((ranges) => this.#sizeOf(queue, ranges)));
    const [size, ranges] = ways
      .map((way, index) => [sizes[index] as number, way] as const)
      .reduce((best, one) => (one[0] < best[0] ? one : best));
    const sources = (): Source[] =>
      ranges.map((range) => new UnsortedSource(() => this.#readTexts(queue, range), comparing(this.filter.order)));
    return { size, isWhole: true, sources };
  }

  async #sizeOf(queue: string, ranges: readonly TextRange[]): Promise<number> {
    const { redis, keys } = this.store;
    const sizes = await Promise.all(ranges.map(({ first, last }) => redis.zlexcount(keys.keptTexts(queue), first, last)));
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  async #readTexts(queue: string, { first, last }: TextRange): Promise<{ found: Candidate[]; examined: number }> {
    const { redis, keys, unreadable } = this.store;
    const times = timesOf(this.filter, 'ended', this.now);
    const jobs = keys.jobs(queue);
    const [index, completed, failed] = [keys.keptTexts(queue), `${jobs}completed`, `${jobs}failed`];
    const found: Candidate[] = [];
    for (let examined = 0, from = first; ;) {
      const reading = redis.readEndedTexts(
        ...[index, completed, failed, jobs, this.#conditions, from, last, JOBS_AT_ONCE],
        ...[times?.after ?? '', times?.before ?? ''],
      );
      const [count, member, ...flat] = await unreadable.read(index, 'sorted set', reading, [0, '']);
      found.push(...candidatesOf(queue, flat));
      examined += count;
      if (member === '') return { found, examined };
      from = `(${member}`;
    }
  }
}

function candidatesOf(queue: string, flat: readonly string[]): Candidate[] {
  return chunks(flat, 2).map(([id = '', at]) => ({ id, at: Number(at), queue, isSifted: true }));
}
