import { Logger, type Runner, type WorkerUtils, makeWorkerUtils, run as runWorker } from 'graphile-worker';
import { Pool } from 'pg';
import { NEVER, type Peer, type PeerInfo, QUEUES, type Run, type Servers, type Work } from './peer.js';

const RUNNING = {
  reason:
    'the only abort signal is for the shutdown of the whole worker, `completeJobs` skips locked jobs; a signal for each job is an open request',
  source: 'https://github.com/graphile/worker/issues/546',
};

export const info: PeerInfo = {
  name: 'graphile-worker',
  title: 'Graphile Worker',
  packages: ['graphile-worker'],
  server: 'PostgreSQL',
  settings:
    '`localQueue.size` 500, `completeJobBatchDelay` 0 and `failJobBatchDelay` 0, as in its own benchmark, with `maxPoolSize` concurrency + 2; ' +
    'no local queue for stops (jobs in it are locked and could not be stopped)',
  source: 'https://worker.graphile.org/docs/performance',
  shares: { calls: 0.15, jobs: 2 },
  capabilities: {
    bulk: { how: '`addJobs`' },
    process: { how: '`run`' },
    latency: { how: 'LISTEN/NOTIFY' },
    stopWaiting: { how: '`completeJobs`: the job is deleted' },
    stopRunning: RUNNING,
    stopCpu: RUNNING,
  },
};

/** The default of `maxPoolSize`. */
const POOL_SIZE = 10;
const logger = new Logger(() => () => undefined);

export async function open({ postgresUrl }: Servers): Promise<Peer> {
  const pool = openPool(postgresUrl, POOL_SIZE);
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  return new Graphile(utils, pool, postgresUrl);
}

class Graphile implements Peer {
  #runner: Runner | null = null;
  #workerPool: Pool | null = null;

  constructor(
    private readonly utils: WorkerUtils,
    private readonly pool: Pool,
    private readonly connectionString: string,
  ) {}

  async enqueueOne(work: Work): Promise<string> {
    return (await this.utils.addJob(QUEUES.work, work)).id;
  }

  async enqueueMany(works: readonly Work[]): Promise<void> {
    await this.utils.addJobs(works.map((payload) => ({ identifier: QUEUES.work, payload })));
  }

  async work(run: Run, { concurrency }: { concurrency: number }): Promise<void> {
    const batched = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
    this.#workerPool = openPool(this.connectionString, Math.max(POOL_SIZE, concurrency + 2));
    this.#runner = await runWorker({
      pgPool: this.#workerPool,
      logger,
      noHandleSignals: true,
      taskList: { [QUEUES.work]: (payload) => run(payload as Work, NEVER) },
      preset: { worker: { concurrentJobs: concurrency, ...(concurrency > 1 && batched) } },
    });
  }

  async stop(id: string): Promise<boolean> {
    return (await this.utils.completeJobs([id])).length === 1;
  }

  async isSettled(id: string): Promise<boolean> {
    return (await this.#count('WHERE id = $1 AND attempts < max_attempts', [id])) === 0;
  }

  unfinished(): Promise<number> {
    return this.#count('WHERE attempts < max_attempts', []);
  }

  async close(): Promise<void> {
    await this.#runner?.stop();
    await this.utils.release();
    await Promise.all([this.pool.end(), this.#workerPool?.end()]);
  }

  async #count(where: string, values: string[]): Promise<number> {
    const sql = `SELECT count(*)::int AS jobs FROM graphile_worker.jobs ${where}`;
    const { rows } = await this.utils.withPgClient((client) => client.query<{ jobs: number }>(sql, values));
    return rows[0]?.jobs ?? 0;
  }
}

function openPool(connectionString: string, max: number): Pool {
  const pool = new Pool({ connectionString, max });
  const report = (error: Error): void => console.error(`graphile-worker: ${error.message}`);
  pool.on('error', report).on('connect', (client) => void client.on('error', report));
  return pool;
}
