import type { Producer } from '../../producer/index.js';
import { storeOf } from '../../producer/store-of.js';
import { chunks } from '../../shared/limits.js';

/** How often the sessions of open streams are checked, in ms. */
const POLL_MS = 1_000;
const BATCH_SIZE = 500;

/**
 * Watches for the end of sessions: at once if ended by this process, within a second if ended elsewhere or expired. Idle while nothing
 * is watched.
 */
export class SessionWatch {
  readonly #producer: Producer;
  readonly #watched = new Map<string, Set<() => void>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(producer: Producer) {
    this.#producer = producer;
  }

  /** Calls back once the session with this hash has ended. Returns a function that cancels the callback. */
  whenEnded(hash: string, callback: () => void): () => void {
    const callbacks = this.#watched.get(hash) ?? new Set();
    this.#watched.set(hash, callbacks.add(callback));
    this.#timer ??= setTimeout(this.#poll, POLL_MS);
    return () => {
      callbacks.delete(callback);
      if (callbacks.size === 0 && this.#watched.get(hash) === callbacks) this.#watched.delete(hash);
      if (this.#watched.size === 0) this.#stopPolling();
    };
  }

  /** Notifies the watchers of a session that has ended. */
  end(hash: string): void {
    const callbacks = this.#watched.get(hash);
    this.#watched.delete(hash);
    for (const callback of callbacks ?? []) callback();
    if (this.#watched.size === 0) this.#stopPolling();
  }

  readonly #poll = (): void => {
    // While Redis is unavailable, sessions are assumed to live on.
    this.#endExpired()
      .catch(() => undefined)
      .finally(() => {
        this.#timer = this.#watched.size > 0 ? setTimeout(this.#poll, POLL_MS) : null;
      });
  };

  async #endExpired(): Promise<void> {
    const { redis, keys } = storeOf(this.#producer);
    for (const hashes of chunks([...this.#watched.keys()], BATCH_SIZE)) {
      const found = await redis.mget(hashes.map((hash) => keys.session(hash)));
      for (const [at, hash] of hashes.entries()) if (found[at] === null) this.end(hash);
    }
  }

  #stopPolling(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
