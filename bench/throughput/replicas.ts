import { createProducer } from 'taskfleet/producer';
import { type TestRedis, startTestRedis } from '../../test/support/redis/test-redis.js';
import { until } from '../../test/support/until.js';
import { interleave, ratiosTo, rowOf } from '../harness/rounds.js';
import { median } from '../harness/statistics.js';
import { defineSuite } from '../harness/suite.js';
import { noop } from './fleet.js';
import { type Load, type Phase, keepInFlight, measureEnqueue } from './load.js';

const ALONE = 500;

/** The cost of waiting for a replica. */
interface ReplicaCost {
  readonly together: Phase;
  /** The median of sequential enqueues in ms. */
  readonly aloneMs: number;
}

export const replicas = defineSuite({
  name: 'replicas',
  about: 'The cost of ENQUEUE_WAIT_REPLICAS=1: enqueues to a master with a replica',
  sizes: { rounds: { full: 5, quick: 2 }, tasks: { full: 10_000, quick: 3_000 } },
  async run(env) {
    const master = await startTestRedis({ config: ['repl-diskless-sync-delay 0'] });
    const replica = await startTestRedis({ config: [`replicaof 127.0.0.1 ${master.port}`] });
    try {
      const client = master.client();
      await until(
        () => client.info('replication'),
        (info) => info.includes('state=online'),
        { everyMs: 20 },
      );
      const load = { tasks: env.sizes.tasks, inFlight: 500, concurrency: 1 };
      const sides = ['no wait', 'WAIT 1'] as const;
      const rounds = await interleave({ ...env, client }, sides, (side) => measureOne(master, load, side === 'WAIT 1' ? 1 : 0));
      const ratios = { higher: ratiosTo('WAIT 1', ['no wait'], 'higher'), lower: ratiosTo('WAIT 1', ['no wait'], 'lower') };
      return {
        rows: [
          rowOf(rounds, { name: 'enqueue, 500 concurrent calls', unit: 'jobs/s', ratios: ratios.higher }, ({ together }) => together.rate),
          rowOf(rounds, { name: 'enqueue, CPU in Node', unit: 'µs/job', ratios: ratios.lower }, ({ together }) => together.cpu.node),
          rowOf(rounds, { name: 'enqueue, CPU in Redis', unit: 'µs/job', ratios: ratios.lower }, ({ together }) => together.cpu.redis),
          rowOf(rounds, { name: 'enqueue, one after the other, p50', unit: 'ms', ratios: ratios.lower }, ({ aloneMs }) => aloneMs),
        ],
      };
    } finally {
      await replica.stop();
      await master.stop();
    }
  },
});

async function measureOne({ url }: TestRedis, load: Load, enqueueWaitReplicas: number): Promise<ReplicaCost> {
  const producer = createProducer({ redisUrl: url, keyPrefix: 'fleet', enqueueWaitReplicas, waitReplicasTimeoutMs: 60_000 });
  await producer.enqueue(noop, { n: 0 });
  const times: number[] = [];
  for (let n = 0; n < ALONE; n += 1) {
    const start = performance.now();
    await producer.enqueue(noop, { n });
    times.push(performance.now() - start);
  }
  const together = await measureEnqueue(url, load, () => keepInFlight(load, (n) => producer.enqueue(noop, { n })));
  await producer.close();
  return { together, aloneMs: median(times) };
}
