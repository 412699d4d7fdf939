import { badArgument, optionsOf } from '../../shared/arguments.js';
import { concurrencyId } from '../../shared/limiter/limit-id.js';
import { LimitList, type LimitPosition } from '../../shared/limiter/list/limit-list.js';
import type { LimitView } from '../../shared/limiter/list/limit-view.js';
import { readLimitSettings } from '../../shared/limiter/list/published-limits.js';
import { MAX_PAGE_SIZE } from '../../shared/limits.js';
import type { Store } from '../../shared/store.js';
import type { Caller } from '../calls.js';
import { checkKey, checkLimit, checkName, requirePublished } from './check-limit.js';

export interface LimitListOptions {
  /** Only limits of this task name, or of `group:<name>`. */
  readonly name?: string | undefined;
  /** The `next` of the previous page. */
  readonly after?: string | undefined;
  /** Maximum number of limits, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

export interface LimitPage {
  /** Keys with a line first, those that have waited longest first; then limits without a line. */
  readonly limits: LimitView[];
  /** Cursor for `after` to get the next page; null on the last page. A page may be short and still have a next one. */
  readonly next: string | null;
}

const DEFAULT_LIMIT = 100;

/** The concurrency limits of tasks at run time. What is set wins over the definitions until it is cleared. */
export class Limits {
  readonly #store: Store;
  readonly #call: Caller;
  readonly #list: LimitList;

  constructor(store: Store, call: Caller) {
    this.#store = store;
    this.#call = call;
    this.#list = new LimitList(store);
  }

  /**
   * Sets a concurrency limit, 0 to 1,000,000; 0 lets no further task start. A higher limit lets waiting tasks start at once, a lower one
   * does not end running tasks. Returns the limit.
   * @param name a task name, or `group:<name>` for a shared limit
   * @param key the key that tasks line up by; `*` for every key without a setting of its own. Without it, the limit of all tasks of the
   *   name is set, the entry of the definition without `by`
   * @throws FleetError `LIMIT_NOT_FOUND` if no worker has published such a limit; `INVALID_OPTION`
   */
  set(name: string, limit: number): Promise<LimitView>;
  set(name: string, key: string | null, limit: number): Promise<LimitView>;
  set(name: string, ...rest: readonly unknown[]): Promise<LimitView> {
    return this.#call(async () => {
      const [key, limit] = rest.length > 1 ? rest : [null, rest[0]];
      const [checkedKey, checkedLimit] = [checkKey(key), checkLimit(limit)];
      requirePublished(await readLimitSettings(this.#store), checkName(name), checkedKey);
      const id = concurrencyId(name, checkedKey);
      await this.#store.limiter.set(id, checkedLimit);
      const [view] = await this.#list.describe([id], await readLimitSettings(this.#store));
      return view as LimitView;
    });
  }

  /** Clears what was set, so that the definition decides again. Returns false if nothing was set. @throws FleetError `INVALID_OPTION` */
  clear(name: string, key: string | null = null): Promise<boolean> {
    return this.#call(async () => {
      const { limiter, redis, keys } = this.#store;
      const id = concurrencyId(checkName(name), checkKey(key));
      const wasSet = await redis.hexists(keys.limiter('set'), id);
      await limiter.set(id, null);
      return wasSet === 1;
    });
  }

  /** Lists limits: keys with a line, settings, and the limits that workers publish. @throws FleetError `INVALID_OPTION` */
  list(options?: LimitListOptions): Promise<LimitPage> {
    return this.#call(async () => {
      const { name, after, limit = DEFAULT_LIMIT } = optionsOf(options);
      if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE_SIZE)
        throw badArgument('INVALID_OPTION', 'limit', `a whole number from 1 to ${MAX_PAGE_SIZE}`, limit);
      const page = await this.#list.page({ name: name ?? null, after: after === undefined ? null : parseCursor(after), limit });
      return { limits: page.limits, next: page.next && formatCursor(page.next) };
    });
  }
}

function formatCursor(position: LimitPosition): string {
  return position.kind === 'line' ? `line-${position.since}-${position.id}` : `rest-${position.id}`;
}

function parseCursor(cursor: unknown): LimitPosition {
  const [, since, line, rest] = /^(?:line-(\d{1,16})-([^]*)|rest-([^]*))$/.exec(String(cursor)) ?? [];
  if (rest !== undefined) return { kind: 'rest', id: rest };
  if (line !== undefined) return { kind: 'line', since: Number(since), id: line };
  throw badArgument('INVALID_OPTION', 'after', 'the `next` of a page', cursor);
}
