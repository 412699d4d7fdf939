import { uuidv7 } from 'uuidv7';
import { messageOf } from '../errors.js';
import type { Keys } from '../keys.js';
import type { Logger } from '../logger.js';
import type { RedisConnection } from '../redis/connection.js';
import type { OpenWebuiMode } from '../settings.js';
import type { Leases } from './merged-writes.js';

export interface FleetFactsOptions {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly mode: OpenWebuiMode;
  readonly logger: Logger;
}

/** How often what other processes have found out is read, in ms. */
const REFRESH_MS = 5_000;
/** With this prefix a fleet is there to work beside open-webui. */
const ITS_PREFIX = /^\{?open-webui\}?$/;

/**
 * What a process knows of its fleet, kept in Redis for all of its processes: the id by which its stop commands are told from
 * those of a fleet in another database, and whether open-webui was seen, which then needs leases. Read at every connect and every
 * five seconds, so that no enqueue and no stop asks for it.
 */
export class FleetFacts implements Leases {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #mode: OpenWebuiMode;
  readonly #logger: Logger;
  #id: string | null = null;
  #seen: boolean;
  /** Whether Redis says so too. */
  #kept = false;
  #asking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor({ redis, keys, mode, logger }: FleetFactsOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#mode = mode;
    this.#logger = logger;
    this.#seen = mode === 'on' || (mode === 'auto' && ITS_PREFIX.test(keys.prefix));
    redis.on('ready', this.#onReady);
  }

  /** Whether live tasks have leases. */
  get written(): boolean {
    return this.#seen && this.#mode !== 'off';
  }

  /** Whether there may be leases to remove: other processes write them, or did. */
  get removed(): boolean {
    return this.#seen;
  }

  /** The id of the fleet in this database; null while it is not known. */
  get id(): string | null {
    return this.#id;
  }

  /** The same once Redis was asked for it. Null if it is not to be had: from a Redis that refuses writes, for example. */
  async readId(): Promise<string | null> {
    if (this.#id === null) await this.refresh();
    return this.#id;
  }

  /** An entry that is not ours was met. Every process of the fleet learns of it. */
  readonly sawForeign = (): void => {
    if (this.#kept) return;
    this.#seen = true;
    void this.refresh();
  };

  /** Reads what others have found out, and writes what they do not know. Never rejects. */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask()
      .catch((error: unknown) => this.#logger.debug({ error: messageOf(error) }, 'Could not read what is known of the fleet'))
      .finally(() => {
        this.#asking = null;
      });
    return this.#asking;
  }

  close(): void {
    this.#redis.off('ready', this.#onReady);
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  readonly #onReady = (): void => {
    void this.refresh();
    this.#timer ??= setInterval(() => {
      if (this.#redis.status === 'ready') void this.refresh();
    }, REFRESH_MS).unref();
  };

  async #ask(): Promise<void> {
    const { fleet, openWebui } = this.#keys;
    const [id = null, seen = null] = await this.#redis.mget(fleet, openWebui);
    if (seen !== null && !this.#seen)
      this.#logger.info({ prefix: this.#keys.prefix, leases: this.#mode !== 'off' }, 'open-webui works beside this fleet');
    this.#seen ||= seen !== null;
    this.#kept = seen !== null;
    this.#id = id ?? this.#id;
    // After FLUSHALL the fleet keeps the id that its processes know, unless a new one has come first.
    if (id === null) {
      await this.#redis.set(fleet, this.#id ?? uuidv7(), 'NX');
      this.#id = await this.#redis.get(fleet);
    }
    if (this.#seen && !this.#kept) {
      await this.#redis.set(openWebui, '1');
      this.#kept = true;
    }
  }
}
