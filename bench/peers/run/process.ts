import { setTimeout as delay } from 'node:timers/promises';
import { now } from '../compared/spin/clock.js';
import { PER_CALL, inLanes } from './enqueue.js';
import type { Turn } from './turn.js';
import type { WorkerProcess } from './worker-process.js';

export const SLOTS = 64;
const SLEEP_MS = 5;
const CALLERS = 100;
const WARM_UP_SHARE = 0.2;
const PAUSE_MS = 15;
/** The first start after a busy phase does not count. */
const WARM_UP = 3;

/** Runs the no-op jobs that are queued already. */
export async function measureNoop(turn: Turn, queued: number): Promise<void> {
  await turn.withWorker(SLOTS, (worker) => drain(turn, worker, 'process.noop', queued));
}

/** Runs waiting jobs; then, in the idle worker, measures how soon a single job starts. */
export async function measureSleepAndStarts(turn: Turn, { sleep, starts }: { sleep: boolean; starts: boolean }): Promise<void> {
  const jobs = sleep ? await enqueueSleeping(turn) : 0;
  await turn.withWorker(SLOTS, async (worker) => {
    if (sleep) await drain(turn, worker, 'process.sleep', jobs);
    else {
      worker.begin();
      await worker.wait('ready');
    }
    if (starts) await measureStarts(turn, worker);
  });
}

async function enqueueSleeping(turn: Turn): Promise<number> {
  const { peer, sizes } = turn.context;
  const jobs = turn.share('jobs', sizes.sleeping);
  const works = Array.from({ length: jobs }, () => turn.payload('sleep', { ms: SLEEP_MS }));
  if (turn.offers('bulk'))
    for (let index = 0; index < jobs; index += PER_CALL) await peer.enqueueMany(works.slice(index, index + PER_CALL));
  else await inLanes(jobs, CALLERS, () => peer.enqueueOne(turn.payload('sleep', { ms: SLEEP_MS })));
  return jobs;
}

/**
 * Measures from the start of the first job that counts until the server lists none any more: a job has ended when its result is stored.
 * The jobs before it warm the worker up.
 */
async function drain(turn: Turn, worker: WorkerProcess, metric: string, jobs: number): Promise<void> {
  const { peer } = turn.context;
  const warmUp = Math.floor(jobs * WARM_UP_SHARE);
  const counted = jobs - warmUp;
  worker.begin({ jobs, warmUp });
  const first = await worker.wait('first');
  const server = turn.context.serverCpuUs();
  await worker.wait('last');
  const end = await turn.until(async () => (await peer.unfinished()) === 0);
  const node = await worker.cpuUs();
  const after = turn.context.serverCpuUs();
  await worker.wait('ready');
  turn.add(metric, (counted * 1_000) / (end - first.at));
  turn.add(`${metric}.node`, (node - (first.cpuUs ?? Number.NaN)) / counted);
  turn.add(`${metric}.server`, server === null || after === null ? null : (after - server) / counted);
}

/** Enqueues one job at a time into idle slots. */
async function measureStarts(turn: Turn, worker: WorkerProcess): Promise<void> {
  for (let start = -WARM_UP; start < turn.context.sizes.starts; start += 1) {
    await delay(PAUSE_MS);
    const work = turn.payload('noop', { named: true });
    const asked = now();
    await turn.context.peer.enqueueOne(work);
    const { at } = await worker.wait('started', work.key);
    if (start >= 0) turn.add('latency', at - asked);
  }
}
