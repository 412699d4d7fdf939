import { type Keys, createKeys } from './keys.js';
import type { Logger } from './logger.js';
import { connect, hangUp, ready } from './redis/connect.js';
import { countConnections } from './redis/connection.js';
import { placeOfPools } from './redis-settings.js';
import { type ScriptedRedis, defineScripts } from './scripts/define-scripts.js';
import type { ConnectedSettings } from './redis/topology.js';

export interface PoolsOptions {
  readonly settings: ConnectedSettings;
  /** The connection and the names of the fleet, which are those of the pools too unless WEBSOCKET_REDIS_URL says otherwise. */
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly logger: Logger;
  /** Shown by CLIENT LIST for a connection of their own. */
  readonly name: string;
}

/**
 * What open-webui's websockets keep in Redis: the usage pool, the session pool and the list of models. Perhaps in another
 * Redis than the tasks; then over a connection of their own, which is opened when it is first needed and fails fast for
 * workers too: nothing of a task waits for that Redis.
 */
export class Pools {
  readonly keys: Keys;
  readonly #shared: ScriptedRedis;
  readonly #open: (() => ScriptedRedis) | null;
  readonly #timeoutMs: number;
  #own: ScriptedRedis | null = null;
  #closed = false;

  constructor({ settings, redis, keys, logger, name }: PoolsOptions) {
    const place = placeOfPools(settings);
    this.#shared = redis;
    this.#timeoutMs = settings.connectTimeoutMs;
    this.keys = place === null ? keys : createKeys(settings.keyPrefix, place.cluster);
    const elsewhere = { ...settings, ...place, redisUrl: place?.redisUrl ?? settings.redisUrl, clusterNodes: [], clusterNatMap: [] };
    this.#open = place && (() => defineScripts(connect({ settings: elsewhere, policy: 'fail-fast', logger, name: `${name}:pools` })));
  }

  /**
   * The connection to use; one of their own is ready when this resolves.
   * @throws FleetError `REDIS_UNAVAILABLE` after REDIS_SOCKET_CONNECT_TIMEOUT, `INVALID_SETTINGS`
   */
  async connection(): Promise<ScriptedRedis> {
    if (this.#open === null) return this.#shared;
    this.#own ??= this.#open();
    if (this.#closed) hangUp(this.#own);
    await ready(this.#own, this.#timeoutMs);
    return this.#own;
  }

  /** How many connections there are beside that of the fleet. */
  get connections(): number {
    return this.#own === null ? 0 : countConnections(this.#own);
  }

  close(): void {
    this.#closed = true;
    if (this.#own) hangUp(this.#own);
  }
}
