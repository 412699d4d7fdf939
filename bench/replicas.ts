import { createProducer } from 'taskfleet/producer';
import { type TestRedis, startTestRedis } from '../test/support/redis/test-redis.js';
import { until } from '../test/support/until.js';
import { type Load, keepInFlight, noop, rate } from './throughput.js';

/** The cost of waiting for a replica: one value per round, the same rounds on both sides. */
export interface ReplicaCost {
  /** Concurrent enqueues per second. */
  readonly rate: number[];
  /** The median of sequential enqueues in ms. */
  readonly alone: number[];
}

const ALONE = 500;

/** Alternates enqueues without and with ENQUEUE_WAIT_REPLICAS to a master with a replica. The first round does not count. */
export async function measureReplicas(load: Load, rounds: number): Promise<{ off: ReplicaCost; on: ReplicaCost }> {
  const master = await startTestRedis({ config: ['repl-diskless-sync-delay 0'] });
  const replica = await startTestRedis({ config: [`replicaof 127.0.0.1 ${master.port}`] });
  try {
    const client = master.client();
    await until(
      () => client.info('replication'),
      (info) => info.includes('state=online'),
      { everyMs: 20 },
    );
    const sides = { off: { rate: [], alone: [] }, on: { rate: [], alone: [] } } as { off: ReplicaCost; on: ReplicaCost };
    for (let round = 0; round <= rounds; round += 1) {
      for (const side of round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
        await client.flushall();
        const measured = await measureOne(master, load, side === 'on' ? 1 : 0);
        if (round === 0) continue;
        sides[side].rate.push(measured.rate);
        sides[side].alone.push(measured.alone);
      }
    }
    return sides;
  } finally {
    await replica.stop();
    await master.stop();
  }
}

async function measureOne({ url }: TestRedis, load: Load, enqueueWaitReplicas: number): Promise<{ rate: number; alone: number }> {
  const producer = createProducer({ redisUrl: url, keyPrefix: 'fleet', enqueueWaitReplicas, waitReplicasTimeoutMs: 60_000 });
  await producer.enqueue(noop, { n: 0 });
  const times: number[] = [];
  for (let n = 0; n < ALONE; n += 1) {
    const start = performance.now();
    await producer.enqueue(noop, { n });
    times.push(performance.now() - start);
  }
  const measured = await rate(load.tasks, () => keepInFlight(load, (n) => producer.enqueue(noop, { n })));
  await producer.close();
  return { rate: measured, alone: times.toSorted((a, b) => a - b)[ALONE / 2] as number };
}
