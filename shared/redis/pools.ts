import { type Keys, createKeys } from '../keys.js';
import type { Logger } from '../log/logger.js';
import { type ScriptedRedis, defineScripts } from '../scripts/define-scripts.js';
import { placeOfPools } from '../settings/redis.js';
import { connect, hangUp, ready } from './connect.js';
import { countConnections } from './connection.js';
import type { ConnectedSettings } from './topology.js';

interface PoolsOptions {
  readonly settings: ConnectedSettings;
  /** The fleet's connection and keys, which the pools share unless WEBSOCKET_REDIS_URL says otherwise. */
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly logger: Logger;
  /** Shown by CLIENT LIST for the pools' own connection. */
  readonly name: string;
}

/**
 * Access to the data of open-webui's websockets: the usage pool, the session pool and the list of models. If they are in another
 * Redis than the tasks, their connection opens on first use and fails fast even in workers, so that no task waits for that Redis.
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
   * Resolves with the connection to use, once it is ready.
   * @throws FleetError `REDIS_UNAVAILABLE` after REDIS_SOCKET_CONNECT_TIMEOUT, `INVALID_SETTINGS`
   */
  async connection(): Promise<ScriptedRedis> {
    if (this.#open === null) return this.#shared;
    this.#own ??= this.#open();
    if (this.#closed) hangUp(this.#own);
    await ready(this.#own, this.#timeoutMs);
    return this.#own;
  }

  /** Number of connections beside the fleet's. */
  get connections(): number {
    return this.#own === null ? 0 : countConnections(this.#own);
  }

  close(): void {
    this.#closed = true;
    if (this.#own) hangUp(this.#own);
  }
}
