import { PgBoss } from 'pg-boss';
import { type Peer, type PeerInfo, QUEUES, type Run, type Servers, type Work } from './peer.js';

const HOLD = 'bench-hold';
const BATCH = 8;
const HEARTBEAT_SECONDS = 10;
const REFRESH_SECONDS = 1;

export const info: PeerInfo = {
  name: 'pg-boss',
  title: 'pg-boss',
  packages: ['pg-boss'],
  server: 'PostgreSQL',
  settings:
    '`useListenNotify` and `notify` for latency; `burstWhenBatchFull`, `batchSize` 8 and `localConcurrency` 8 for throughput (64 jobs at a time); ' +
    'jobs to stop in a queue with `heartbeatSeconds` 10 (the minimum) and `heartbeatRefreshSeconds` 1 (default 5)',
  source: 'https://timgit.github.io/pg-boss/#/./api/workers',
  pollMs: REFRESH_SECONDS * 1_000,
  shares: { calls: 0.15, jobs: 1 },
  capabilities: {
    bulk: { how: '`boss.insert`' },
    process: { how: '`boss.work`' },
    latency: { how: 'LISTEN/NOTIFY' },
    stopWaiting: { how: '`boss.cancel`' },
    stopRunning: { how: '`boss.cancel` ends the record at once; `job.signal` aborts at the next heartbeat, every second here' },
    stopCpu: { how: '`boss.cancel` ends the record at once; the handler blocks the heartbeat and runs to its end' },
  },
};

export async function open({ postgresUrl }: Servers): Promise<Peer> {
  const boss = new PgBoss({ connectionString: postgresUrl, useListenNotify: true, schedule: false });
  boss.on('error', (error) => console.error(`pg-boss: ${error.message}`));
  await boss.start();
  await boss.createQueue(QUEUES.work, { notify: true });
  for (const name of [HOLD, QUEUES.spin])
    await boss.createQueue(name, { notify: true, heartbeatSeconds: HEARTBEAT_SECONDS, retryLimit: 0 });
  return new Boss(boss);
}

class Boss implements Peer {
  readonly #queueOf = new Map<string, string>();

  constructor(private readonly boss: PgBoss) {}

  async enqueueOne(work: Work): Promise<string> {
    const queue = queueOf(work);
    const id = await this.boss.send(queue, work);
    if (id === null) throw new Error('pg-boss did not create the job');
    if (queue !== QUEUES.work) this.#queueOf.set(id, queue);
    return id;
  }

  async enqueueMany(works: readonly Work[]): Promise<void> {
    await this.boss.insert(
      QUEUES.work,
      works.map((data) => ({ data })),
    );
  }

  async work(run: Run, { concurrency }: { concurrency: number }): Promise<void> {
    const batchSize = Math.min(BATCH, concurrency);
    const throughput = { batchSize, localConcurrency: concurrency / batchSize, burstWhenBatchFull: batchSize > 1 };
    await this.boss.work<Work>(QUEUES.work, throughput, async (jobs) => {
      await Promise.all(jobs.map((job) => run(job.data, job.signal)));
    });
    for (const name of [HOLD, QUEUES.spin])
      await this.boss.work<Work>(name, { heartbeatRefreshSeconds: REFRESH_SECONDS }, async ([job]) => {
        if (job) await run(job.data, job.signal);
      });
  }

  async stop(id: string): Promise<boolean> {
    const answer = await this.boss.cancel(this.#queueOf.get(id) ?? QUEUES.work, id);
    return (answer as { affected?: number }).affected === 1;
  }

  async isSettled(id: string): Promise<boolean> {
    const job = await this.boss.getJobById(this.#queueOf.get(id) ?? QUEUES.work, id);
    return job === null || ['cancelled', 'completed', 'failed'].includes(job.state);
  }

  async unfinished(): Promise<number> {
    const { rows } = await this.boss.getDb().executeSql(`SELECT count(*)::int AS jobs FROM pgboss.job WHERE state < 'completed'`);
    return (rows as { jobs: number }[])[0]?.jobs ?? 0;
  }

  async close(): Promise<void> {
    await this.boss.stop({ graceful: false });
  }
}

function queueOf({ kind }: Work): string {
  if (kind === 'spin') return QUEUES.spin;
  return kind === 'hold' ? HOLD : QUEUES.work;
}
