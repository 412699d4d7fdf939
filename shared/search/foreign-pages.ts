import type { Registry } from '../registry/registry.js';

/** A live task of another program. */
export interface ForeignTask {
  readonly id: string;
  readonly item: string | null;
}

/** How long the pages of one list share a scan of the registry, in ms. */
const SHARED_MS = 5_000;
/** From this many foreign tasks on, all lists share a scan, because scanning them keeps Redis and this process busy. */
const MANY = 10_000;

/**
 * Pages through the live tasks of other programs, by descending id. Finding them takes a scan of the whole registry, so pages
 * after the first share one scan.
 */
export class ForeignPages {
  readonly #registry: Pick<Registry, 'foreign'>;
  #found: readonly ForeignTask[] | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(registry: Pick<Registry, 'foreign'>) {
    this.#registry = registry;
  }

  /** Returns up to `limit` matching tasks after a position, and whether more follow. */
  async page(
    after: string | null,
    limit: number,
    passes: (task: ForeignTask) => boolean,
  ): Promise<{ readonly tasks: ForeignTask[]; readonly more: boolean }> {
    const kept = this.#found;
    const found = kept !== null && (after !== null || kept.length >= MANY) ? kept : await this.#look();
    const tasks: ForeignTask[] = [];
    for (let index = after === null ? 0 : firstAfter(found, after); index < found.length; index += 1) {
      const task = found[index] as ForeignTask;
      if (!passes(task)) continue;
      if (tasks.length === limit) return { tasks, more: true };
      tasks.push(task);
    }
    return { tasks, more: false };
  }

  async #look(): Promise<readonly ForeignTask[]> {
    const found = (await this.#registry.foreign()).map(({ id, item }) => ({ id, item })).sort((a, b) => (a.id < b.id ? 1 : -1));
    this.#forget();
    if (found.length === 0) return found;
    this.#found = found;
    this.#timer = setTimeout(() => this.#forget(), SHARED_MS);
    this.#timer.unref();
    return found;
  }

  #forget(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#found = null;
  }
}

/** Returns the index of the first id after a position. */
function firstAfter(found: readonly ForeignTask[], id: string): number {
  let [low, high] = [0, found.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((found[middle] as ForeignTask).id < id) high = middle;
    else low = middle + 1;
  }
  return low;
}
