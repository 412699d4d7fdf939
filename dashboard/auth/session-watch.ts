import type { Producer } from '../../producer/index.js';
import { storeOf } from '../../producer/store-of.js';
import { chunks } from '../../shared/chunks.js';

/** How often the sessions of open streams are looked at, in ms. */
const LOOK_MS = 1_000;
const LOOKED_AT_ONCE = 500;

/**
 * Tells when a session has ended: at once if that was done here, and within a second if another dashboard ended it or it expired.
 * Costs nothing while nobody asks.
 */
export class SessionWatch {
  readonly #producer: Producer;
  readonly #watched = new Map<string, Set<() => void>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(producer: Producer) {
    this.#producer = producer;
  }

  /** Calls back once the session with this hash has ended. Returns what takes that back. */
  whenEnded(hash: string, callback: () => void): () => void {
    const callbacks = this.#watched.get(hash) ?? new Set();
    this.#watched.set(hash, callbacks.add(callback));
    this.#timer ??= setTimeout(this.#look, LOOK_MS);
    return () => {
      callbacks.delete(callback);
      if (callbacks.size === 0 && this.#watched.get(hash) === callbacks) this.#watched.delete(hash);
      if (this.#watched.size === 0) this.#rest();
    };
  }

  /** The session with this hash has ended. */
  end(hash: string): void {
    const callbacks = this.#watched.get(hash);
    this.#watched.delete(hash);
    for (const callback of callbacks ?? []) callback();
    if (this.#watched.size === 0) this.#rest();
  }

  readonly #look = (): void => {
    // While Redis is away nobody can say that a session has ended.
    this.#endGone()
      .catch(() => undefined)
      .finally(() => {
        this.#timer = this.#watched.size > 0 ? setTimeout(this.#look, LOOK_MS) : null;
      });
  };

  async #endGone(): Promise<void> {
    const { redis, keys } = storeOf(this.#producer);
    for (const hashes of chunks([...this.#watched.keys()], LOOKED_AT_ONCE)) {
      const found = await redis.mget(hashes.map((hash) => keys.session(hash)));
      for (const [at, hash] of hashes.entries()) if (found[at] === null) this.end(hash);
    }
  }

  #rest(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
