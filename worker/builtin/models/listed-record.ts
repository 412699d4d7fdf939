import { chunks } from '../../../shared/limits.js';
import type { Store } from '../../../shared/store.js';
import { BATCH_FIELDS, batchesOf } from './batches.js';
import { type Fields, parseFields } from './model-cache.js';
import type { ListedModel } from './model-list.js';

/**
 * `p:models:listed`: each model as its server last listed it. The record tells which fields of an entry in `p:models` come from the server
 * and which were added or changed by others. `openai` in the entry does not: open-webui writes there as well.
 */
export class ListedRecord {
  readonly #redis: Store['redis'];
  readonly #key: string;

  constructor({ redis, keys }: Pick<Store, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#key = keys.modelsListed;
  }

  /** Returns the listed models by id, without unreadable ones. */
  async read(): Promise<Map<string, Fields>> {
    const stored = Object.entries(await this.#redis.hgetall(this.#key));
    return new Map(
      stored.map(([id, json]) => [id, parseFields(json)] as const).filter((pair): pair is [string, Fields] => pair[1] !== null),
    );
  }

  /**
   * Records the listed models, after the entries were written. If this is missed, the next run finds the entries up to date and records
   * them.
   * @param former the result of {@link read}
   * @param isKnown returns whether a model that was not listed this time still has an entry
   * @throws the signal's reason
   */
  async write(
    listed: ReadonlyMap<string, ListedModel>,
    former: ReadonlyMap<string, Fields>,
    isKnown: (id: string) => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const set = new Map<string, string>();
    for (const [id, model] of listed) {
      const json = JSON.stringify(model);
      if (JSON.stringify(former.get(id)) !== json) set.set(id, json);
    }
    for (const batch of batchesOf(set)) {
      signal.throwIfAborted();
      await this.#redis.hset(this.#key, ...batch);
    }
    for (const batch of chunks(
      [...former.keys()].filter((id) => !listed.has(id) && !isKnown(id)),
      BATCH_FIELDS,
    )) {
      signal.throwIfAborted();
      await this.#redis.hdel(this.#key, ...batch);
    }
  }
}
