import { type JobsOptions, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type ProducerConfig, createProducer } from 'taskfleet/producer';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { uuidv7 } from 'uuidv7';
import { z } from 'zod';

export interface Load {
  readonly tasks: number;
  /** Concurrent enqueues. */
  readonly inFlight: number;
  readonly concurrency: number;
}

/** Tasks per second. */
export interface Throughput {
  readonly enqueue: number;
  readonly process: number;
}

export const noop = defineTask({
  name: 'bench.noop',
  input: z.object({ n: z.number() }),
  retention: { completed: { ageMs: 3_600_000, count: 10_000 }, failed: { ageMs: 7 * 24 * 3_600_000, count: 10_000 } },
});
/** Both sides have the same retention and attempts. */
const options: JobsOptions = {
  attempts: 1,
  removeOnComplete: { age: 3_600, count: 10_000 },
  removeOnFail: { age: 7 * 24 * 3_600, count: 10_000 },
  stackTraceLimit: 3,
};

/**
 * Bare BullMQ: a queue and a worker. By default with BullMQ's numeric ids; or with UUIDv7 ids and a named worker as in the fleet, since
 * longer ids cost time at every step.
 */
export async function measureBullMq(redisUrl: string, load: Load, { uuids }: { uuids: boolean }): Promise<Throughput> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null, protocol: 2 });
  const queue = new Queue('bench', { connection, prefix: 'bare:bull' });
  await queue.waitUntilReady();
  const enqueue = await rate(load.tasks, () =>
    keepInFlight(load, (n) => queue.add('bench.noop', { n }, uuids ? { ...options, jobId: uuidv7() } : options)),
  );
  const span = new Span(load.tasks);
  const workerOptions = { connection, prefix: 'bare:bull', concurrency: load.concurrency, ...(uuids && { name: 'host-12345-0a1b2c3d' }) };
  const worker = new Worker('bench', () => Promise.resolve(span.count()), workerOptions);
  const process = await span.rate;
  await worker.close();
  await queue.close();
  connection.disconnect();
  return { enqueue, process };
}

/** The fleet: producer, registry and worker. Throws if the registry is not empty at the end. */
export async function measureFleet(redisUrl: string, load: Load, settings: Pick<ProducerConfig, 'openWebui'> = {}): Promise<Throughput> {
  const producer = createProducer({ redisUrl, keyPrefix: 'fleet', ...settings });
  await producer.ping();
  const enqueue = await rate(load.tasks, () => keepInFlight(load, (n) => producer.enqueue(noop, { n })));
  const span = new Span(load.tasks);
  const handlers = [defineHandler(noop, () => Promise.resolve(span.count()))];
  const worker = await createWorker({
    redisUrl,
    keyPrefix: 'fleet',
    concurrency: load.concurrency,
    handlers,
    logLevel: 'warn',
    ...settings,
  });
  await worker.start();
  const process = await span.rate;
  await worker.stop();
  const { tasks } = await producer.list({ limit: 1 });
  await producer.close();
  if (tasks.length > 0) throw new Error('the registry is not empty after the run');
  return { enqueue, process };
}

export async function rate(tasks: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (tasks * 1_000) / (performance.now() - start);
}

export async function keepInFlight({ tasks, inFlight }: Load, add: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < tasks) await add(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

/** From the first handler call to the last: excludes the time to connect. */
class Span {
  readonly rate: Promise<number>;
  readonly #tasks: number;
  #seen = 0;
  #start = 0;
  #finish: (rate: number) => void = () => undefined;

  constructor(tasks: number) {
    this.#tasks = tasks;
    this.rate = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  count(): null {
    this.#seen += 1;
    if (this.#seen === 1) this.#start = performance.now();
    if (this.#seen === this.#tasks) this.#finish((this.#tasks * 1_000) / (performance.now() - this.#start));
    return null;
  }
}
