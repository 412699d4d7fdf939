import { chunks } from '../../../shared/limits.js';
import type { Store } from '../../../shared/store.js';
import { BATCH_FIELDS, type Fields, batchesOf, parseFields } from './model-cache.js';
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

/** Base URLs, without query, by their place in OPENAI_API_BASE_URLS. */
type ServerPlaces = ReadonlyMap<number, string>;

/**
 * `p:models:servers`: the meaning of `urlIdx` in `p:models`. OPENAI_API_BASE_URLS may change, and the last known models of one server must
 * not be taken for another's. The record is not in the entries themselves, because open-webui shows those to users.
 */
export class ServerRecord {
  readonly #redis: Store['redis'];
  readonly #key: string;

  constructor({ redis, keys }: Pick<Store, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#key = keys.modelServers;
  }

  /** Returns the recorded places; empty without a record. */
  async read(): Promise<ServerPlaces> {
    const record = await this.#redis.hgetall(this.#key);
    return new Map(Object.entries(record).map(([urlIdx, label]) => [Number(urlIdx), label]));
  }

  /**
   * Records the new places around `write`, which changes the entries. Places that change their meaning are unknown until `write` is done:
   * after a crash in between, their entries are nobody's last known models.
   */
  async change(former: ServerPlaces, labels: readonly string[], write: () => Promise<void>): Promise<void> {
    const other = labels.flatMap((label, urlIdx) => (former.get(urlIdx) === label ? [] : [urlIdx]));
    const reused = other.filter((urlIdx) => former.has(urlIdx));
    const gone = [...former.keys()].filter((urlIdx) => labels[urlIdx] === undefined);
    if (reused.length > 0) await this.#redis.hset(this.#key, ...reused.flatMap((urlIdx) => [urlIdx, '']));
    await write();
    if (other.length > 0) await this.#redis.hset(this.#key, ...other.flatMap((urlIdx) => [urlIdx, labels[urlIdx] as string]));
    if (gone.length > 0) await this.#redis.hdel(this.#key, ...gone.map(String));
  }
}

/**
 * Returns the former place of each base URL; null for a new one. Without a record the entries are open-webui's, whose list is assumed to
 * equal ours.
 */
export function formerPlaces(labels: readonly string[], former: ServerPlaces): (number | null)[] {
  if (former.size === 0) return labels.map((_, urlIdx) => urlIdx);
  // The same URL may occur twice, with two keys: one that kept its place stays there, and the others are assigned in order.
  const moved = [...former].filter(([urlIdx, label]) => labels[urlIdx] !== label).sort(([a], [b]) => a - b);
  return labels.map((label, urlIdx) => {
    if (former.get(urlIdx) === label) return urlIdx;
    const index = moved.findIndex(([, other]) => other === label);
    return index === -1 ? null : (moved.splice(index, 1)[0] as [number, string])[0];
  });
}
