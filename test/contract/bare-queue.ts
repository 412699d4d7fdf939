import { randomUUID } from 'node:crypto';
import { after, afterEach, before, beforeEach } from 'node:test';
import { type Job, Queue, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { type TestRedis, startTestRedis } from '../support/redis/test-redis.js';

type Processor = (job: Job, token?: string) => Promise<unknown>;

/** A plain BullMQ queue with its workers, without code of the fleet. */
export class BareQueue {
  readonly queue: Queue;
  readonly #port: number;
  readonly #workers: Worker[] = [];

  /** @param port the port of a Redis on loopback */
  constructor(port: number) {
    this.#port = port;
    this.queue = new Queue(`q${randomUUID().slice(0, 8)}`, { connection: { port } });
  }

  newWorker(processor: Processor, options: Partial<WorkerOptions> = {}, Class: typeof Worker = Worker): Worker {
    const worker = new Class(this.queue.name, processor, { connection: { port: this.#port, maxRetriesPerRequest: null }, ...options });
    worker.on('error', () => undefined);
    this.#workers.push(worker);
    return worker;
  }

  async close(): Promise<void> {
    for (const one of [...this.#workers.toReversed(), this.queue]) await one.close();
  }
}

/** Gives each test of the suite its own queue on a common Redis. */
export function useBareQueue(use: (given: { readonly bare: BareQueue; readonly client: Redis }) => void): void {
  let redis: TestRedis;
  let client: Redis;
  let bare: BareQueue;
  before(async () => {
    redis = await startTestRedis();
    client = redis.client();
  });
  beforeEach(() => {
    bare = new BareQueue(redis.port);
    use({ bare, client });
  });
  afterEach(() => bare.close());
  after(() => redis.stop());
}
