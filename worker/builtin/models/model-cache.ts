import { createHash, randomUUID } from 'node:crypto';
import type { Store } from '../../../shared/store.js';
import { isDeeper } from './model-list.js';

/** Most fields, and characters of JSON, in one write: few enough that Redis finishes it in a few ms. */
export const BATCH_FIELDS = 500;
const BATCH_LENGTH = 1_048_576;

/** Deepest nesting of a valid entry. An entry holds the server's fields twice, the second time one level deeper. */
const MAX_DEPTH = 200;

export type Fields = Readonly<Record<string, unknown>>;

/** A stored entry of `p:models`. */
export interface StoredModel {
  readonly json: string;
  /** Null if the entry is not a JSON object. */
  readonly fields: Fields | null;
}

/** The changes to make to `p:models`. */
export interface ModelChanges {
  /** Id → JSON. */
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
}

type Transaction = ReturnType<Store['redis']['multi']>;

/**
 * `p:models`, in open-webui's form and written in its way (`RedisDict.set` in backend/open_webui/socket/utils.py): readers keep their copy
 * while `p:models:signature` is unchanged, and never find the hash empty.
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
   * Writes new and changed entries, and then removes the others. Readers do not keep the mix in between, because it has no signature.
   * Without changes nothing is written, unless a writer that died left no signature: then every reader would read everything every time.
   * @param stored the result of {@link read}
   * @throws the signal's reason; earlier writes stay, and the next run completes them
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

  /** Removes the signature before each batch: a concurrent refresh may have signed meanwhile, for content that is no longer complete. */
  async #change(write: (transaction: Transaction) => Transaction, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const answers = await write(this.#redis.multi().del(this.#signature)).exec();
    for (const [error] of answers ?? []) if (error) throw error;
  }
}

/** Yields the arguments of consecutive HSETs: alternating fields and values. */
export function* batchesOf(set: ReadonlyMap<string, string>): Generator<string[], void, void> {
  let batch: string[] = [];
  let length = 0;
  for (const [id, json] of set) {
    if (batch.length === 2 * BATCH_FIELDS || (batch.length > 0 && length + json.length > BATCH_LENGTH)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(id, json);
    length += json.length;
  }
  if (batch.length > 0) yield batch;
}

/** Parses an entry; null if it is not a JSON object, or nested deeper than {@link MAX_DEPTH}. */
export function parseFields(json: string): Fields | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !isDeeper(value, MAX_DEPTH) ? (value as Fields) : null;
  } catch {
    return null;
  }
}

/** Returns `<sha256 of the sorted ids and entries>:<32 hex digits>`. The random part distinguishes two writes of the same content. */
function signatureOf(content: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const id of [...content.keys()].sort()) hash.update(`${id}\0${content.get(id) ?? ''}\0`);
  return `${hash.digest('hex')}:${randomUUID().replaceAll('-', '')}`;
}
