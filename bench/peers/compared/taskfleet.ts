import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { FleetWorker } from '../../../worker/index.js';
import { type Peer, type PeerInfo, QUEUES, type Run, type Servers, type Work } from './peer.js';

// The built package: the benchmark measures what is published, not the sources.
const built = (door: string): Promise<unknown> => import(new URL(`../../../dist/${door}/index.js`, import.meta.url).href);
const { createProducer } = (await built('producer')) as typeof import('../../../producer/index.js');
const { createWorker, defineHandler, defineTask } = (await built('worker')) as typeof import('../../../worker/index.js');

const options = {
  input: z.object({ kind: z.enum(['noop', 'sleep', 'hold', 'spin']), key: z.string(), ms: z.number(), file: z.string() }),
};
const workTask = defineTask({ name: 'bench.work', queue: QUEUES.work, ...options });
const spinTask = defineTask({ name: 'bench.spin', queue: QUEUES.spin, ...options });

const STOP_WAIT_MS = 10_000;
const GRACE_MS = 500;

export const info: PeerInfo = {
  name: 'taskfleet',
  title: 'taskfleet',
  packages: [],
  server: 'Redis',
  settings:
    'defaults (the last 1,000 completed and 5,000 failed tasks are kept); the CPU-bound task is isolated and `STOP_GRACE_MS` is 500 ' +
    '(default 5,000: the row of the CPU-bound task would then say 5,000 ms)',
  source: 'docs/reference/settings.md',
  shares: { calls: 1, jobs: 1 },
  capabilities: {
    bulk: { how: '`producer.enqueueMany`' },
    process: { how: '`createWorker`' },
    latency: { how: 'blocking pop of BullMQ' },
    stopWaiting: { how: '`producer.stop`' },
    stopRunning: { how: '`producer.stop`: the signal of the handler' },
    stopCpu: { how: '`producer.stop`: the thread is terminated after `STOP_GRACE_MS`' },
  },
};

export function open({ redisUrl }: Servers): Promise<Peer> {
  return Promise.resolve(new Taskfleet(redisUrl));
}

class Taskfleet implements Peer {
  readonly #producer;
  #worker: FleetWorker | null = null;

  constructor(private readonly redisUrl: string) {
    this.#producer = createProducer({ redisUrl });
  }

  async enqueueOne(work: Work): Promise<string> {
    return (await this.#producer.enqueue(work.kind === 'spin' ? spinTask : workTask, work)).id;
  }

  async enqueueMany(works: readonly Work[]): Promise<void> {
    await this.#producer.enqueueMany(
      workTask,
      works.map((input) => ({ input })),
    );
  }

  async work(run: Run, { concurrency }: { concurrency: number }): Promise<void> {
    this.#worker = await createWorker({
      redisUrl: this.redisUrl,
      concurrency,
      threads: 1,
      stopGraceMs: GRACE_MS,
      shutdownTimeoutMs: 0,
      logLevel: 'warn',
      handlers: [defineHandler(workTask, ({ input, signal }) => run(input, signal))],
      taskModules: [fileURLToPath(new URL('./spin/taskfleet.mjs', import.meta.url))],
    });
    await this.#worker.start();
    await this.#worker.ready();
  }

  async stop(id: string): Promise<boolean> {
    return (await this.#producer.stop(id, { waitMs: STOP_WAIT_MS })).outcome === 'cancelled';
  }

  async isSettled(id: string): Promise<boolean> {
    const task = await this.#producer.get(id);
    return task === null || ['completed', 'failed', 'cancelled'].includes(task.state);
  }

  async unfinished(): Promise<number> {
    return (await this.#producer.count()).count;
  }

  async close(): Promise<void> {
    await this.#worker?.stop();
    await this.#producer.close();
  }
}
