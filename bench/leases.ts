import type { Redis } from 'ioredis';
import { type TaskMemory, weighTasks } from './memory.js';
import { type Load, type Throughput, measureFleet } from './throughput.js';

/** One side of a comparison, with a value for each round. */
export interface LeaseSide {
  readonly throughput: Throughput[];
  /** CPU time of this process and of redis-server per task, in µs. */
  readonly cpu: number[];
  memory: TaskMemory;
}

const MODES = ['off', 'on'] as const;
type Sides = Readonly<Record<(typeof MODES)[number], LeaseSide>>;

/** The cost of leases: alternates the fleet without and with leases, on items, in one run. */
export async function measureLeases(redisUrl: string, redis: Redis, load: Load, rounds: number): Promise<Sides> {
  const side = (): LeaseSide => ({ throughput: [], cpu: [], memory: { total: 0, registry: 0 } });
  const sides: Sides = { off: side(), on: side() };
  for (let round = 0; round <= rounds; round += 1) {
    for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
      await redis.flushall();
      const before = await cpuUs(redis);
      const throughput = await measureFleet(redisUrl, load, { openWebui: mode });
      // The first round is the warm-up.
      if (round === 0) continue;
      sides[mode].throughput.push(throughput);
      sides[mode].cpu.push(((await cpuUs(redis)) - before) / load.tasks);
    }
  }
  for (const mode of MODES) {
    await redis.flushall();
    sides[mode].memory = await weighTasks(redisUrl, redis, load.tasks, { openWebui: mode });
  }
  return sides;
}

async function cpuUs(redis: Redis): Promise<number> {
  const { user, system } = process.cpuUsage();
  const server = [...(await redis.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)].reduce(
    (sum, [, seconds]) => sum + Number(seconds),
    0,
  );
  return user + system + server * 1_000_000;
}
