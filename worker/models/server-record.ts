import type { Store } from '../../shared/store.js';

/** Place in OPENAI_API_BASE_URLS → the base URL, without query, that it meant. */
export type ServerPlaces = ReadonlyMap<number, string>;

/**
 * `p:models:servers`: what `urlIdx` means in `p:models`. OPENAI_API_BASE_URLS may change, and the last known models of one
 * server are not to be taken for those of another. It is not in the entries themselves: open-webui shows those to users.
 */
export class ServerRecord {
  readonly #redis: Store['redis'];
  readonly #key: string;

  constructor({ redis, keys }: Pick<Store, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#key = keys.modelServers;
  }

  /** Empty if there never was one. */
  async read(): Promise<ServerPlaces> {
    const record = await this.#redis.hgetall(this.#key);
    return new Map(Object.entries(record).map(([urlIdx, label]) => [Number(urlIdx), label]));
  }

  /**
   * Writes what places mean from now on, around `write`, which changes the entries. Until that is done, nobody knows what
   * the entries of a place belong to that changes its meaning: if a crash leaves it so, they are nobody's last known models.
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
 * For each place of now, the place that its base URL had before; null for one that had none. Where there is no record,
 * the entries are open-webui's, and its list is taken to be the same as ours.
 */
export function formerPlaces(labels: readonly string[], former: ServerPlaces): (number | null)[] {
  if (former.size === 0) return labels.map((_, urlIdx) => urlIdx);
  // The same URL may be there twice, with two keys: what is in its old place stays, and the rest is shared out in order.
  const moved = [...former].filter(([urlIdx, label]) => labels[urlIdx] !== label).sort(([a], [b]) => a - b);
  return labels.map((label, urlIdx) => {
    if (former.get(urlIdx) === label) return urlIdx;
    const index = moved.findIndex(([, other]) => other === label);
    return index === -1 ? null : (moved.splice(index, 1)[0] as [number, string])[0];
  });
}
