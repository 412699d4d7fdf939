import BeeQueue from 'bee-queue';
import { NEVER, type Peer, type PeerInfo, QUEUES, type Run, type Servers, type Work } from './peer.js';

const README = 'https://github.com/bee-queue/bee-queue#readme';
const RUNNING = {
  reason: 'a running job gets no signal; `removeJob` deletes the record, and its page warns of doing so to a job that runs',
  source: README,
};

export const info: PeerInfo = {
  name: 'bee-queue',
  title: 'Bee-Queue',
  packages: ['bee-queue'],
  server: 'Redis',
  settings:
    'events and job objects off (`getEvents`, `sendEvents`, `storeJobs`), ended jobs removed (`removeOnSuccess`, `removeOnFailure`)',
  source: README,
  shares: { calls: 1, jobs: 1.5 },
  capabilities: {
    bulk: { how: '`queue.saveAll`' },
    process: { how: '`queue.process`' },
    latency: { how: 'blocking pop' },
    stopWaiting: { how: '`queue.removeJob`: the job is deleted' },
    stopRunning: RUNNING,
    stopCpu: RUNNING,
  },
};

export async function open({ redisUrl }: Servers): Promise<Peer> {
  const peer = new Bee(redisUrl);
  await peer.ready();
  return peer;
}

class Bee implements Peer {
  readonly #client: BeeQueue<Work>;
  #worker: BeeQueue<Work> | null = null;

  constructor(private readonly redisUrl: string) {
    this.#client = this.#open({ isWorker: false });
  }

  async ready(): Promise<void> {
    await this.#client.ready();
  }

  async enqueueOne(work: Work): Promise<string> {
    return (await this.#client.createJob(work).save()).id;
  }

  async enqueueMany(works: readonly Work[]): Promise<void> {
    const failed = await this.#client.saveAll(works.map((work) => this.#client.createJob(work)));
    if (failed.size > 0) throw new Error(`bee-queue did not save ${failed.size} jobs`);
  }

  async work(run: Run, { concurrency }: { concurrency: number }): Promise<void> {
    this.#worker = this.#open({ isWorker: true });
    await this.#worker.ready();
    this.#worker.process(concurrency, (job: BeeQueue.Job<Work>) => run(job.data, NEVER));
  }

  async stop(id: string): Promise<boolean> {
    await this.#client.removeJob(id);
    return true;
  }

  async isSettled(id: string): Promise<boolean> {
    // Null for a job that does not exist, which its types do not say.
    const job: unknown = await this.#client.getJob(id);
    return job === null;
  }

  async unfinished(): Promise<number> {
    const { waiting, active } = await this.#client.checkHealth();
    return waiting + active;
  }

  async close(): Promise<void> {
    await this.#worker?.close(0).catch(() => undefined);
    await this.#client.close();
  }

  #open({ isWorker }: { isWorker: boolean }): BeeQueue<Work> {
    const removed = { removeOnSuccess: true, removeOnFailure: true };
    return new BeeQueue<Work>(QUEUES.work, {
      ...{ redis: { url: this.redisUrl }, isWorker, getEvents: false, sendEvents: false, storeJobs: false },
      ...removed,
    });
  }
}
