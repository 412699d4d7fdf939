import type { Keys } from '../keys.js';
import type { RecordReporter } from '../records/unreadable.js';
import type { Registry } from '../registry/registry.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { Queues } from '../task/queues.js';
import type { Candidate, Position } from './order.js';

/** What sources read from. */
export interface SearchStore {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly queues: Pick<Queues, 'scriptKeys'>;
  readonly registry: Registry;
  readonly unreadable: RecordReporter;
}

/** Some tasks of a source, in order. */
export interface Batch {
  readonly found: readonly Candidate[];
  /** Number of entries examined. */
  readonly examined: number;
  /** What they cost of a page's budget. */
  readonly cost: number;
  /** How far the source was read; null if it has no more. */
  readonly upTo: Position | null;
}

/** Reads tasks in the order of a list. */
export interface Source {
  /** Reads the tasks that follow a position; null for the start. A batch may be empty and still have more. */
  read(after: Position | null): Promise<Batch>;
}

/** A way to find the tasks of a filter. */
export interface Option {
  /** Most entries that it reads. */
  readonly size: number;
  /** Whether it must be read as a whole, because its entries are in no order. */
  readonly isWhole: boolean;
  readonly sources: () => Source[];
}

/** Most entries examined for a page. */
export const MAX_SEARCHED = 20_000;

/** Returns the sources of the option that reads least. An option that is read as a whole must fit into a page's budget. */
export function cheapest(options: readonly Option[]): Source[] {
  const possible = options.filter(({ isWhole, size }) => !isWhole || size <= MAX_SEARCHED);
  const [first, ...rest] = possible;
  return rest.reduce((best, one) => (one.size < best.size ? one : best), first as Option).sources();
}

/** A source whose tasks are in no order in Redis: reads all of them, and sorts them. */
export class UnsortedSource implements Source {
  constructor(
    private readonly load: () => Promise<{ readonly found: readonly Candidate[]; readonly examined: number }>,
    private readonly compare: (a: Position, b: Position) => number,
  ) {}

  async read(after: Position | null): Promise<Batch> {
    const { found, examined } = await this.load();
    const byId = new Map(found.map((one) => [one.id, one]));
    const sorted = [...byId.values()].filter((one) => after === null || this.compare(one, after) > 0).sort(this.compare);
    return { found: sorted, examined, cost: examined, upTo: null };
  }
}

interface Reading {
  readonly source: Source;
  found: readonly Candidate[];
  next: number;
  upTo: Position | null;
  isOver: boolean;
}

/** Merges sources in the order of a list. */
export class MergedSources {
  readonly #readings: Reading[];
  #last: Candidate | null = null;

  /** @param after where the list continues */
  constructor(
    sources: readonly Source[],
    after: Position | null,
    private readonly compare: (a: Position, b: Position) => number,
  ) {
    this.#readings = sources.map((source) => ({ source, found: [], next: 0, upTo: after, isOver: false }));
  }

  /** Whether every source was read to its end, and every task taken. */
  get isOver(): boolean {
    return this.#readings.every(({ isOver, found, next }) => isOver && next >= found.length);
  }

  /** Reads from those sources whose next task is unknown. */
  async read(): Promise<Pick<Batch, 'examined' | 'cost'>> {
    const batches = await Promise.all(
      this.#unknown().map(async (reading) => {
        const batch = await reading.source.read(reading.upTo);
        Object.assign(reading, { found: batch.found, next: 0, upTo: batch.upTo ?? reading.upTo, isOver: batch.upTo === null });
        return batch;
      }),
    );
    const sum = (field: 'examined' | 'cost'): number => batches.reduce((total, batch) => total + batch[field], 0);
    return { examined: sum('examined'), cost: sum('cost') };
  }

  /** Takes up to `most` tasks whose place in the list is certain, each once. */
  take(most: number): Candidate[] {
    const taken: Candidate[] = [];
    while (taken.length < most) {
      const next = this.#next();
      if (!next) break;
      const candidate = next.found[next.next] as Candidate;
      const limit = this.reached;
      if (limit !== null && this.compare(candidate, limit) > 0) break;
      next.next += 1;
      // Two indexes may have the same task.
      if (this.#last?.id !== candidate.id || this.#last.at !== candidate.at) taken.push(candidate);
      this.#last = candidate;
    }
    return taken;
  }

  /** The position up to which every task is known; null if the rest is known, or nothing was read. */
  get reached(): Position | null {
    let reached: Position | null = null;
    for (const { upTo } of this.#unknown()) if (upTo !== null && (reached === null || this.compare(upTo, reached) < 0)) reached = upTo;
    return reached;
  }

  #unknown(): Reading[] {
    return this.#readings.filter(({ isOver, found, next }) => !isOver && next >= found.length);
  }

  #next(): Reading | null {
    let best: Reading | null = null;
    for (const reading of this.#readings) {
      const candidate = reading.found[reading.next];
      if (candidate && (best === null || this.compare(candidate, best.found[best.next] as Candidate) < 0)) best = reading;
    }
    return best;
  }
}
