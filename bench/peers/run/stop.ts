import { setTimeout as delay } from 'node:timers/promises';
import type { StopState, Work } from '../compared/peer.js';
import { lastTick, now } from '../compared/spin/clock.js';
import type { Turn } from './turn.js';
import type { WorkerProcess } from './worker-process.js';

/** Longer than all stops of a turn: the job that keeps the only slot busy. */
const HOLD_MS = 60_000;
const BEFORE_STOP_MS = 30;
/** The first stops of a process do not count. */
const WARM_UP = 3;
/** A core counts as free once the file of the spin has not changed for this long. */
const QUIET_MS = 100;

/** Stops jobs of a worker in another process with one slot: behind a running job, running, and CPU-bound. */
export async function measureStops(turn: Turn): Promise<void> {
  await turn.withWorker(1, async (worker) => {
    worker.begin();
    await worker.wait('ready');
    if (turn.offers('stopWaiting')) await stopWaiting(turn, worker);
    if (!turn.offers('stopRunning')) return;
    for (let stop = 1 - WARM_UP; stop < turn.context.sizes.stops; stop += 1)
      await stopRunning(turn, worker, await start(turn, worker), stop >= 0);
    if (turn.offers('stopCpu')) await stopCpu(turn, worker);
  });
}

interface Started {
  readonly id: string;
  readonly work: Work;
}

async function start(turn: Turn, worker: WorkerProcess): Promise<Started> {
  const work = turn.payload('hold', { ms: HOLD_MS, named: true });
  const id = await create(turn, worker, work);
  await worker.wait('started', work.key);
  await delay(BEFORE_STOP_MS + Math.random() * (turn.context.info.pollMs ?? 0));
  return { id, work };
}

function create({ context: { info, peer } }: Turn, worker: WorkerProcess, work: Work): Promise<string> {
  return info.runsWhereCreated ? worker.create(work) : peer.enqueueOne(work);
}

async function stopWaiting(turn: Turn, worker: WorkerProcess): Promise<void> {
  const { peer, sizes } = turn.context;
  const running = await start(turn, worker);
  for (let stop = -WARM_UP; stop < sizes.stops; stop += 1) {
    const id = await peer.enqueueOne(turn.payload('hold', { ms: HOLD_MS, named: true }));
    await delay(BEFORE_STOP_MS);
    const asked = now();
    const settled = await stopAndSettle(turn, id, 'waiting');
    if (stop >= 0) turn.add('stop.waiting.settled', settled - asked);
  }
  if (turn.offers('stopRunning')) await stopRunning(turn, worker, running, false);
}

/** Stops a running job; its times count unless it is to warm up. */
async function stopRunning(turn: Turn, worker: WorkerProcess, { id, work }: Started, counts: boolean): Promise<void> {
  const asked = now();
  const settled = await stopAndSettle(turn, id, 'running');
  const { at } = await worker.wait('told', work.key);
  if (!counts) return;
  turn.add('stop.running.settled', settled - asked);
  turn.add('stop.running.told', at - asked);
}

/** Returns when the stop was known to have ended the job: by its answer, or by reading the job's state. */
async function stopAndSettle(turn: Turn, id: string, state: StopState): Promise<number> {
  const { peer } = turn.context;
  return (await peer.stop(id, state)) ? now() : turn.until(() => peer.isSettled(id));
}

async function stopCpu(turn: Turn, worker: WorkerProcess): Promise<void> {
  const { sizes } = turn.context;
  const work = turn.payload('spin', { ms: sizes.spinMs, named: true });
  const id = await create(turn, worker, work);
  await turn.until(() => Promise.resolve(lastTick(work.file) !== null));
  await delay(BEFORE_STOP_MS);
  const asked = now();
  turn.add('stop.cpu.settled', (await stopAndSettle(turn, id, 'running')) - asked);
  let last = lastTick(work.file) ?? asked;
  while (now() - last < QUIET_MS) {
    await delay(QUIET_MS / 5);
    last = lastTick(work.file) ?? last;
  }
  turn.add('stop.cpu.released', Math.max(0, last - asked));
}
