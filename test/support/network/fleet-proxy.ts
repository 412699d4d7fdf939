import type { TestRedis } from '../redis/test-redis.js';
import { FaultProxy } from './fault-proxy.js';

/** A faulty network between some processes and a Redis: one proxy in front of each server. */
export class FleetProxy {
  /** The environment for processes behind the proxies. */
  readonly env: Readonly<Record<string, string>>;

  private constructor(
    readonly proxies: readonly FaultProxy[],
    { nodes }: TestRedis,
  ) {
    const { url } = proxies[0] as FaultProxy;
    const places = nodes.map(({ port }, index) => `127.0.0.1:${port}=127.0.0.1:${proxies[index]?.port}`);
    this.env = { REDIS_URL: url, ...(nodes.length > 1 && { REDIS_CLUSTER_NAT_MAP: places.join(',') }) };
  }

  static async start(redis: TestRedis): Promise<FleetProxy> {
    return new FleetProxy(await Promise.all(redis.nodes.map(({ port }) => FaultProxy.start(port))), redis);
  }

  /** Does what {@link FaultProxy.halfOpenAt} does, at the server that gets the request. */
  halfOpenAt(...request: Parameters<FaultProxy['halfOpenAt']>): Promise<void> {
    return Promise.race(this.proxies.map((proxy) => proxy.halfOpenAt(...request)));
  }

  async stop(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.stop()));
  }
}
