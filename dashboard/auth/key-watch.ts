import { chunks } from '../../shared/limits.js';
import type { Store } from '../../shared/store.js';

/** How often the keys of open streams are checked, in ms. */
const POLL_MS = 1_000;
const BATCH_SIZE = 500;

/**
 * Watches for the end of keys in Redis, such as sessions: at once if this process ends them, within a second if they were removed
 * elsewhere or have expired. Idle while nothing is watched.
 */
export class KeyWatch {
  readonly #watched = new Map<string, Set<() => void>>();
  #timer: NodeJS.Timeout | null = null;

  constructor(private readonly store: Store) {}

  /** Calls back once the key is gone. Returns a function that cancels the callback. */
  whenGone(key: string, callback: () => void): () => void {
    const callbacks = this.#watched.get(key) ?? new Set();
    this.#watched.set(key, callbacks.add(callback));
    this.#timer ??= setTimeout(this.#poll, POLL_MS);
    return () => {
      callbacks.delete(callback);
      if (callbacks.size === 0 && this.#watched.get(key) === callbacks) this.#watched.delete(key);
      if (this.#watched.size === 0) this.#stopPolling();
    };
  }

  /** Notifies the watchers of a key that this process has removed. */
  end(key: string): void {
    const callbacks = this.#watched.get(key);
    this.#watched.delete(key);
    for (const callback of callbacks ?? []) callback();
    if (this.#watched.size === 0) this.#stopPolling();
  }

  readonly #poll = (): void => {
    // While Redis is unavailable, the keys are assumed to live on.
    this.#endMissing()
      .catch(() => undefined)
      .finally(() => {
        this.#timer = this.#watched.size > 0 ? setTimeout(this.#poll, POLL_MS) : null;
      });
  };

  async #endMissing(): Promise<void> {
    for (const keys of chunks([...this.#watched.keys()], BATCH_SIZE)) {
      const found = await this.store.redis.mget(keys);
      for (const [at, key] of keys.entries()) if (found[at] === null) this.end(key);
    }
  }

  #stopPolling(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
