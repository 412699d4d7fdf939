import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { createProducer } from 'taskfleet/producer';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { uuidv7 } from 'uuidv7';
import { bareRetention } from '../throughput/bullmq.js';
import { noop } from '../throughput/fleet.js';
import { type Load, keepInFlight } from '../throughput/load.js';

export const PHASES = ['enqueue', 'process'] as const;
export type PhaseName = (typeof PHASES)[number];

/** Runs a phase and may record it: resolves with the phase. */
export type Around = (phase: PhaseName, work: () => Promise<unknown>) => Promise<void>;

/** Enqueues and processes the load, each phase inside `around`. */
type Side = (redisUrl: string, load: Load, around: Around) => Promise<void>;

/** The sides have the same ids. */
export const SIDES: Readonly<Record<'fleet' | 'bare', Side>> = { fleet: runFleet, bare: runBare };

async function runFleet(redisUrl: string, load: Load, around: Around): Promise<void> {
  const producer = createProducer({ redisUrl, keyPrefix: 'fleet' });
  await producer.ping();
  await around('enqueue', () => keepInFlight(load, (n) => producer.enqueue(noop, { n })));
  const handled = new Handled(load.tasks);
  const handlers = [defineHandler(noop, () => handled.count())];
  const worker = await createWorker({ redisUrl, keyPrefix: 'fleet', concurrency: load.concurrency, handlers, logLevel: 'warn' });
  await around('process', async () => {
    await worker.start();
    await handled.all;
  });
  await worker.stop();
  await producer.close();
}

async function runBare(redisUrl: string, load: Load, around: Around): Promise<void> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null, protocol: 2 });
  const queue = new Queue('bench', { connection, prefix: 'bare:bull' });
  await queue.waitUntilReady();
  await around('enqueue', () => keepInFlight(load, (n) => queue.add(noop.name, { n }, { jobId: uuidv7() })));
  const handled = new Handled(load.tasks);
  const { concurrency } = load;
  const options = { connection, prefix: 'bare:bull', concurrency, autorun: false, name: 'host-12345-0a1b2c3d', ...bareRetention };
  const worker = new Worker('bench', () => handled.count(), options);
  await worker.waitUntilReady();
  await around('process', () => {
    void worker.run();
    return handled.all;
  });
  await worker.close();
  await queue.close();
  connection.disconnect();
}

/** Counts calls of a handler. */
class Handled {
  readonly all: Promise<void>;
  #resolve: () => void = () => undefined;

  constructor(private left: number) {
    this.all = new Promise((resolve) => (this.#resolve = resolve));
  }

  count(): Promise<null> {
    this.left -= 1;
    if (this.left === 0) this.#resolve();
    return Promise.resolve(null);
  }
}
