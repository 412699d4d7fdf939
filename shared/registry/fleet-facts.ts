import { uuidv7 } from 'uuidv7';
import { messageOf } from '../errors.js';
import type { Keys } from '../keys.js';
import type { Logger } from '../log/logger.js';
import type { RedisConnection } from '../redis/connection.js';
import type { OpenWebuiMode } from '../settings/settings.js';
import type { Leases } from './merged-writes.js';

interface FleetFactsOptions {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly mode: OpenWebuiMode;
  readonly logger: Logger;
}

/** Interval of reading what other processes found out, in ms. */
const REFRESH_MS = 5_000;
/** The prefix of a fleet that works beside open-webui. */
const OPEN_WEBUI_PREFIX = /^\{?open-webui\}?$/;

/**
 * Facts about the fleet, shared by its processes through Redis: the id that tells its stop commands from those of a fleet in another
 * database, and whether open-webui was seen, which requires leases. Read on each connect and every five seconds, so that enqueues and
 * stops need no extra round trip.
 */
export class FleetFacts implements Leases {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #mode: OpenWebuiMode;
  readonly #logger: Logger;
  #id: string | null = null;
  #seen: boolean;
  /** Whether Redis has `#seen` too. */
  #kept = false;
  #asking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor({ redis, keys, mode, logger }: FleetFactsOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#mode = mode;
    this.#logger = logger;
    this.#seen = mode === 'on' || (mode === 'auto' && OPEN_WEBUI_PREFIX.test(keys.prefix));
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

  /** The fleet's id; null while unknown. */
  get id(): string | null {
    return this.#id;
  }

  /** Returns the id, reading it if necessary. Null if it is unavailable, for example because Redis refuses writes. */
  async readId(): Promise<string | null> {
    if (this.#id === null) await this.refresh();
    return this.#id;
  }

  /** Notes that a foreign entry was seen, and tells all processes of the fleet. */
  readonly sawForeign = (): void => {
    if (this.#kept) return;
    this.#seen = true;
    void this.refresh();
  };

  /** Exchanges facts with Redis. Never rejects. */
  refresh(): Promise<void> {
    this.#asking ??= this.#ask()
      .catch((error: unknown) => this.#logger.debug({ error: messageOf(error) }, 'Could not read the id of the fleet; trying again'))
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
    const { fleet, openWebui, findComplete, findCompleteBefore } = this.#keys;
    const [id = null, seen = null, complete = null] = await this.#redis.mget(fleet, openWebui, findCompleteBefore);
    // Without the mark, processes of an older version, which would not find our tasks by their items, read the list of all live tasks.
    if (complete !== null) await this.#redis.rename(findCompleteBefore, findComplete).catch(() => null);
    if (seen !== null && !this.#seen)
      this.#logger.info({ prefix: this.#keys.prefix, leases: this.#mode !== 'off' }, 'Detected open-webui beside this fleet');
    this.#seen ||= seen !== null;
    this.#kept = seen !== null;
    this.#id = id ?? this.#id;
    // After FLUSHALL the fleet keeps its id, unless another process wrote a new one first.
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
