import { type GuardedRedis, startGuardedRedis } from './guarded-redis.js';

export interface RedisLease {
  readonly url: string;
  /** Returns the server; the last user ends it, after a pause in which the next one may take it. */
  release(): Promise<void>;
}

/** How long a server stays without users, in ms: a suite may start a fleet for each test. */
const LINGER_MS = 1_000;
// A test may replace the timers later.
const { setTimeout, clearTimeout } = globalThis;

/** The redis-server that the fleets of this process share, each under a prefix of its own. */
class SharedRedis {
  #server: Promise<GuardedRedis> | null = null;
  #users = 0;
  #timer: NodeJS.Timeout | null = null;

  async lease(say: (line: string) => void): Promise<RedisLease> {
    this.#users += 1;
    if (this.#timer) clearTimeout(this.#timer);
    this.#server ??= startGuardedRedis(say);
    try {
      const { url } = await this.#server;
      return { url, release: async () => this.#leave() };
    } catch (error) {
      this.#server = null;
      this.#leave();
      throw error;
    }
  }

  #leave(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#timer = setTimeout(() => this.#end(), LINGER_MS).unref();
  }

  #end(): void {
    const server = this.#server;
    this.#server = null;
    void server?.then((redis) => redis.end()).catch(() => undefined);
  }
}

const shared = new SharedRedis();

/** Leases the server of this process, and starts it first if none runs. @throws FleetError `REDIS_SERVER_MISSING`, `REDIS_SERVER_FAILED` */
export function leaseRedis(say: (line: string) => void): Promise<RedisLease> {
  return shared.lease(say);
}
