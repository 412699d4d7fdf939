import { Queue, Worker, type WorkerOptions } from 'bullmq';
import { Redis } from 'ioredis';
import { uuidv7 } from 'uuidv7';
import { type Load, ProcessSpan, type Throughput, keepInFlight, measureEnqueue } from './load.js';

/** The fleet's default retention. As options of the worker, since options of each job would cost time and memory. */
export const bareRetention: Pick<WorkerOptions, 'removeOnComplete' | 'removeOnFail'> = {
  removeOnComplete: { age: 3_600, count: 1_000 },
  removeOnFail: { age: 7 * 24 * 3_600, count: 5_000 },
};

/**
 * Bare BullMQ: a queue and a worker. By default with BullMQ's numeric ids; or with UUIDv7 ids and a named worker as in the fleet, since
 * longer ids cost time at every step.
 */
export async function measureBullMq(redisUrl: string, load: Load, { uuids }: { uuids: boolean }): Promise<Throughput> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null, protocol: 2 });
  const queue = new Queue('bench', { connection, prefix: 'bare:bull' });
  await queue.waitUntilReady();
  const add = (n: number): Promise<unknown> => queue.add('bench.noop', { n }, uuids ? { jobId: uuidv7() } : undefined);
  const enqueue = await measureEnqueue(redisUrl, load, () => keepInFlight(load, add));
  const span = new ProcessSpan(redisUrl, load.tasks);
  const named = uuids ? { name: 'host-12345-0a1b2c3d' } : {};
  const workerOptions = { connection, prefix: 'bare:bull', concurrency: load.concurrency, ...bareRetention, ...named };
  const worker = new Worker('bench', () => Promise.resolve(span.count()), workerOptions);
  const process = await span.measured();
  await worker.close();
  await queue.close();
  connection.disconnect();
  return { enqueue, process };
}
