import { chunks } from '../../shared/chunks.js';
import type { Store } from '../../shared/store.js';
import { BATCH_FIELDS, batchesOf } from './batches.js';
import { type Fields, parseFields } from './model-cache.js';
import type { ListedModel } from './model-list.js';

/**
 * `p:models:listed`: each model as its server listed it when it last answered. It tells which fields of an entry of `p:models` are the
 * server's, and which others have added or changed. `openai` in the entry itself does not: open-webui writes there as well.
 */
export class ListedRecord {
  readonly #redis: Store['redis'];
  readonly #key: string;

  constructor({ redis, keys }: Pick<Store, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#key = keys.modelsListed;
  }

  /** By model id. What cannot be understood is left out. */
  async read(): Promise<Map<string, Fields>> {
    const stored = Object.entries(await this.#redis.hgetall(this.#key));
    return new Map(
      stored.map(([id, json]) => [id, parseFields(json)] as const).filter((pair): pair is [string, Fields] => pair[1] !== null),
    );
  }

  /**
   * Records what was listed. Comes after the entries were written: if it does not come at all, the next run finds the entries as they are
   * to be, and records them.
   * @param former as {@link read}
   * @param isKnown whether a model that was not listed this time has an entry all the same
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
