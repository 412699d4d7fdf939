import { createHash, randomUUID } from 'node:crypto';
import type { Store } from '../../shared/store.js';
import { BATCH_FIELDS, batchesOf } from './batches.js';
import { isDeeper } from './depth.js';

export type Fields = Readonly<Record<string, unknown>>;

/** Deepest nesting of an entry that counts as one. It has what its server lists twice, the second time a level deeper. */
const MAX_DEPTH = 200;

/** An entry of `p:models` as it is stored. */
export interface StoredModel {
  readonly json: string;
  /** Null if that is not a JSON object. */
  readonly fields: Fields | null;
}

/** What is to be done with `p:models`. */
export interface ModelChanges {
  /** Id → JSON. */
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
}

type Transaction = ReturnType<Store['redis']['multi']>;

/**
 * `p:models`, in open-webui's form and with its manners (`RedisDict.set` in backend/open_webui/socket/utils.py): a reader
 * keeps its copy for as long as `p:models:signature` is the one that it has seen, and never finds the hash empty.
 */
export class ModelCache {
  readonly #redis: Store['redis'];
  readonly #models: string;
  readonly #signature: string;

  constructor({ redis, keys }: Pick<Store, 'redis' | 'keys'>) {
    this.#redis = redis;
    this.#models = keys.models;
    this.#signature = keys.modelsSignature;
  }

  async read(): Promise<Map<string, StoredModel>> {
    const stored = await this.#redis.hgetall(this.#models);
    return new Map(Object.entries(stored).map(([id, json]) => [id, { json, fields: parseFields(json) }]));
  }

  /**
   * Writes what is new or changed, and then removes what is gone. No reader keeps the mix that is there in between, for
   * it has no signature. If there is nothing to do, nothing is written, unless a writer that died left no signature:
   * without one, every reader reads everything every time.
   * @param stored what is there now, as {@link read}
   * @throws the signal's reason; what was written by then stays, and the next run finds what is left to do
   */
  async write({ set, remove }: ModelChanges, stored: ReadonlyMap<string, StoredModel>, signal: AbortSignal): Promise<void> {
    for (const batch of batchesOf(set)) await this.#change((transaction) => transaction.hset(this.#models, ...batch), signal);
    for (let from = 0; from < remove.length; from += BATCH_FIELDS) {
      const batch = remove.slice(from, from + BATCH_FIELDS);
      await this.#change((transaction) => transaction.hdel(this.#models, ...batch), signal);
    }
    const content = new Map([...[...stored].map(([id, { json }]) => [id, json] as const), ...set]);
    for (const id of remove) content.delete(id);
    if (set.size > 0 || remove.length > 0) await this.#redis.set(this.#signature, signatureOf(content));
    else if (content.size > 0 && !(await this.#redis.exists(this.#signature)))
      await this.#redis.set(this.#signature, signatureOf(content), 'NX');
  }

  /** Takes the signature away each time: another refresh may have signed in between, what is not complete any more. */
  async #change(write: (transaction: Transaction) => Transaction, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const answers = await write(this.#redis.multi().del(this.#signature)).exec();
    for (const [error] of answers ?? []) if (error) throw error;
  }
}

/** Null if it is not a JSON object, or nested deeper than {@link MAX_DEPTH}. */
export function parseFields(json: string): Fields | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !isDeeper(value, MAX_DEPTH) ? (value as Fields) : null;
  } catch {
    return null;
  }
}

/** `<sha256 of the sorted ids and entries>:<32 hex digits>`. The random part tells two writes of the same content apart. */
function signatureOf(content: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const id of [...content.keys()].sort()) hash.update(`${id}\0${content.get(id) ?? ''}\0`);
  return `${hash.digest('hex')}:${randomUUID().replaceAll('-', '')}`;
}
