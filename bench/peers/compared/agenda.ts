import { setTimeout as delay } from 'node:timers/promises';
import { PostgresBackend } from '@agendajs/postgres-backend';
import { Agenda, type Job } from 'agenda';
import { Pool } from 'pg';
import { type Peer, type PeerInfo, QUEUES, type Run, type Servers, type Work } from './peer.js';

const TOUCH_MS = 250;

export const info: PeerInfo = {
  name: 'agenda',
  title: 'Agenda',
  packages: ['agenda', '@agendajs/postgres-backend'],
  server: 'PostgreSQL',
  settings: '`PostgresBackend` with its LISTEN/NOTIFY, `maxConcurrency` and `concurrency` of the slots, `removeOnComplete`',
  source: 'https://github.com/agenda/agenda#readme',
  pollMs: TOUCH_MS,
  shares: { calls: 0.25, jobs: 0.25 },
  capabilities: {
    bulk: { reason: 'jobs are saved one by one: no call takes several', source: 'https://github.com/agenda/agenda#readme' },
    process: { how: '`agenda.define`, `agenda.start`' },
    latency: { how: 'LISTEN/NOTIFY' },
    stopWaiting: { how: '`agenda.cancel`: the job is deleted' },
    stopRunning: { how: '`agenda.cancel` deletes the record; the next `job.touch()` of the handler throws, every 250 ms here' },
    stopCpu: { how: '`agenda.cancel` deletes the record; the handler makes no call and runs to its end' },
  },
};

export async function open({ postgresUrl }: Servers): Promise<Peer> {
  const pool = new Pool({ connectionString: postgresUrl });
  pool.on('error', (error) => console.error(`agenda: ${error.message}`));
  const agenda = new Agenda({ backend: new PostgresBackend({ pool }), removeOnComplete: true });
  await agenda.ready;
  return new AgendaPeer(agenda, pool);
}

class AgendaPeer implements Peer {
  #started: Promise<void> | null = null;

  constructor(
    private readonly agenda: Agenda,
    private readonly pool: Pool,
  ) {}

  async enqueueOne(work: Work): Promise<string> {
    // An instance that has not started publishes no notification: its jobs would wait for the next poll.
    await (this.#started ??= this.agenda.start());
    const job = await this.agenda.now(QUEUES.work, work);
    return idOf(job);
  }

  enqueueMany(): Promise<void> {
    return Promise.reject(new Error('Agenda has no bulk enqueue'));
  }

  async work(run: Run, { concurrency }: { concurrency: number }): Promise<void> {
    this.agenda.maxConcurrency(concurrency).defaultConcurrency(concurrency);
    this.agenda.define<Work>(QUEUES.work, (job) => runTouching(job, run), { concurrency });
    await (this.#started ??= this.agenda.start());
  }

  async stop(id: string): Promise<boolean> {
    return (await this.agenda.cancel({ id })) === 1;
  }

  async isSettled(id: string): Promise<boolean> {
    return (await this.agenda.db.getJobById(id)) === null;
  }

  async unfinished(): Promise<number> {
    const { rows } = await this.pool.query<{ jobs: number }>('SELECT count(*)::int AS jobs FROM agenda_jobs');
    return rows[0]?.jobs ?? 0;
  }

  async close(): Promise<void> {
    await this.agenda.stop();
    await this.pool.end();
  }
}

function idOf({ attrs: { _id: id } }: Job<Work>): string {
  return String(id);
}

/** A handler that waits reports its progress; the report of a deleted job throws, and that is the signal. */
async function runTouching(job: Job<Work>, run: Run): Promise<void> {
  const work = job.attrs.data;
  const cancelled = new AbortController();
  const running = run(work, cancelled.signal);
  if (work.kind !== 'hold') return running;
  const ended = new AbortController();
  void running.finally(() => ended.abort()).catch(() => undefined);
  while (!ended.signal.aborted && !cancelled.signal.aborted) {
    await delay(TOUCH_MS, undefined, { signal: ended.signal }).catch(() => undefined);
    if (!ended.signal.aborted) await job.touch(0).catch((error: unknown) => cancelled.abort(error));
  }
  return running;
}
