import { fileURLToPath } from 'node:url';
import { Queue, Relay, UnrecoverableError, Worker, type WorkerOptions } from 'bullmq';
import { Redis } from 'ioredis';
import { type Peer, type PeerInfo, QUEUES, type Run, type Servers, type StopState, type Work } from './peer.js';

const DOCS = 'https://docs.bullmq.io/guide';
const UNFINISHED = ['waiting', 'active', 'prioritized', 'delayed'] as const;

export const info: PeerInfo = {
  name: 'bullmq',
  title: 'BullMQ',
  packages: ['bullmq'],
  server: 'Redis',
  settings:
    'defaults; the worker keeps the last 1,000 completed and 5,000 failed jobs; append-only file and `noeviction` in Redis; ' +
    'the CPU-bound job in a sandboxed processor',
  source: `${DOCS}/going-to-production`,
  shares: { calls: 1, jobs: 1 },
  capabilities: {
    bulk: { how: '`queue.addBulk`' },
    process: { how: '`new Worker`' },
    latency: { how: 'blocking pop' },
    stopWaiting: { how: '`queue.remove`: the job is deleted' },
    stopRunning: {
      how: `the recipe of ${DOCS}/relay/examples/cancelling-jobs-on-other-workers: a Relay message, then \`worker.cancelJob\``,
    },
    stopCpu: { how: 'the same Relay message; the sandboxed process is not terminated by it' },
  },
};

export function open({ redisUrl }: Servers): Promise<Peer> {
  return Promise.resolve(new BullMq(redisUrl));
}

const retention: Pick<WorkerOptions, 'removeOnComplete' | 'removeOnFail'> = {
  removeOnComplete: { count: 1_000 },
  removeOnFail: { count: 5_000 },
};
const queueOf = (work: Work): keyof typeof QUEUES => (work.kind === 'spin' ? 'spin' : 'work');

class BullMq implements Peer {
  readonly #connection: Redis;
  readonly #queues: Readonly<Record<keyof typeof QUEUES, Queue<Work>>>;
  readonly #workers: Worker<Work>[] = [];
  readonly #spinning = new Set<string>();
  #relay: Relay<Redis> | null = null;

  constructor(redisUrl: string) {
    this.#connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
    const connection = this.#connection;
    this.#queues = { work: new Queue(QUEUES.work, { connection }), spin: new Queue(QUEUES.spin, { connection }) };
  }

  async enqueueOne(work: Work): Promise<string> {
    const queue = queueOf(work);
    const { id = '' } = await this.#queues[queue].add(work.kind, work);
    if (queue === 'spin') this.#spinning.add(id);
    return id;
  }

  async enqueueMany(works: readonly Work[]): Promise<void> {
    await this.#queues.work.addBulk(works.map((data) => ({ name: data.kind, data })));
  }

  async work(run: Run, { concurrency }: { concurrency: number }): Promise<void> {
    const connection = this.#connection;
    const relay = await this.#openRelay();
    const processor = async (job: { data: Work }, _token: unknown, signal: AbortSignal | undefined): Promise<void> => {
      try {
        await run(job.data, signal as AbortSignal);
      } catch (error) {
        throw signal?.aborted ? new UnrecoverableError(`cancelled: ${String(signal.reason)}`) : error;
      }
    };
    const spinFile = fileURLToPath(new URL('./spin/bullmq.ts', import.meta.url));
    this.#workers.push(
      new Worker<Work>(QUEUES.work, (job, token, signal) => processor(job, token, signal), { connection, concurrency, ...retention }),
      new Worker<Work>(QUEUES.spin, spinFile, { connection, concurrency: 1, ...retention }),
    );
    for (const worker of this.#workers) {
      await worker.waitUntilReady();
      await relay.subscribe<{ jobId: string }>(topicOf(worker.name), ({ data }) => void worker.cancelJob(data.jobId, 'stopped'));
    }
  }

  async stop(id: string, state: StopState): Promise<boolean> {
    const queue = this.#spinning.has(id) ? 'spin' : 'work';
    if (state === 'waiting') return (await this.#queues[queue].remove(id)) === 1;
    await (await this.#openRelay()).publish(topicOf(QUEUES[queue]), { jobId: id });
    return false;
  }

  async isSettled(id: string): Promise<boolean> {
    const state = await this.#queues[this.#spinning.has(id) ? 'spin' : 'work'].getJobState(id);
    return state === 'completed' || state === 'failed' || state === 'unknown';
  }

  unfinished(): Promise<number> {
    return this.#queues.work.getJobCountByTypes(...UNFINISHED);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close(true)));
    await this.#relay?.close();
    await Promise.all(Object.values(this.#queues).map((queue) => queue.close()));
    this.#connection.disconnect();
  }

  async #openRelay(): Promise<Relay<Redis>> {
    this.#relay ??= new Relay<Redis>({ connection: this.#connection });
    await this.#relay.waitUntilReady();
    return this.#relay;
  }
}

function topicOf(queue: string): string {
  return `jobs.${queue}.cancel`;
}
