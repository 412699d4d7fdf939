import type { Redis } from 'ioredis';

/** CPU time in µs. */
export interface Cpu {
  /** Of this process. */
  readonly node: number;
  /** Of redis-server; of all masters on a cluster. */
  readonly redis: number;
}

/** Measures CPU time from its start. */
export class CpuMeter {
  private constructor(
    private readonly servers: readonly Redis[],
    private readonly start: Cpu,
  ) {}

  static async start(...servers: readonly Redis[]): Promise<CpuMeter> {
    return new CpuMeter(servers, await cpuSoFar(servers));
  }

  /** Returns the CPU time since the start, divided among `jobs`. */
  async perJob(jobs: number): Promise<Cpu> {
    const { node, redis } = await cpuSoFar(this.servers);
    return { node: (node - this.start.node) / jobs, redis: (redis - this.start.redis) / jobs };
  }
}

async function cpuSoFar(servers: readonly Redis[]): Promise<Cpu> {
  const { user, system } = process.cpuUsage();
  const redis = await Promise.all(servers.map(redisCpuUs));
  return { node: user + system, redis: redis.reduce((sum, us) => sum + us, 0) };
}

/** Returns the CPU time of a redis-server so far, in µs. */
export async function redisCpuUs(server: Redis): Promise<number> {
  const seconds = [...(await server.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)];
  return seconds.reduce((sum, [, text]) => sum + Number(text) * 1_000_000, 0);
}
