import { createHash, randomUUID } from 'node:crypto';
import type { Store } from '../../shared/store.js';

/** An entry of `p:models` as it is stored. */
export interface StoredModel {
  readonly json: string;
  /** Null if that is not a JSON object. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

/** What is to be done with `p:models`. */
export interface ModelChanges {
  /** Id → JSON. */
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
}

type Transaction = ReturnType<Store['redis']['multi']>;

/** Fields of one write, and characters of JSON in it: few enough for Redis to be done with it in a few ms. */
const BATCH_FIELDS = 500;
const BATCH_LENGTH = 1_048_576;

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
    else if (content.size > 0 && !(await this.#redis.exists(this.#signature))) await this.#redis.set(this.#signature, signatureOf(content), 'NX');
  }

  /** Takes the signature away each time: another refresh may have signed in between, what is not complete any more. */
  async #change(write: (transaction: Transaction) => Transaction, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const answers = await write(this.#redis.multi().del(this.#signature)).exec();
    for (const [error] of answers ?? []) if (error) throw error;
  }
}

function parseFields(json: string): StoredModel['fields'] {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Ids and entries by turns. */
function* batchesOf(set: ReadonlyMap<string, string>): Generator<string[], void, void> {
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

/** `<sha256 of the sorted ids and entries>:<32 hex digits>`. The random part tells two writes of the same content apart. */
function signatureOf(content: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const id of [...content.keys()].sort()) hash.update(`${id}\0${content.get(id) ?? ''}\0`);
  return `${hash.digest('hex')}:${randomUUID().replaceAll('-', '')}`;
}
