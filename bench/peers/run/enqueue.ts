import type { Turn } from './turn.js';

const CALLERS = 100;
export const PER_CALL = 500;
const WARM_UP = 200;

/** Enqueues no-op jobs in each way that the peer offers, while no worker runs. Returns how many. */
export async function measureEnqueue(turn: Turn): Promise<number> {
  const { peer, sizes } = turn.context;
  const warm = turn.share('calls', WARM_UP);
  await inLanes(warm, 10, () => peer.enqueueOne(turn.payload('noop')));
  const alone = turn.share('calls', sizes.alone);
  await timed(turn, 'enqueue.alone', alone, () => inLanes(alone, 1, () => peer.enqueueOne(turn.payload('noop'))));
  const callers = turn.share('calls', sizes.callers);
  await timed(turn, 'enqueue.callers', callers, () => inLanes(callers, CALLERS, () => peer.enqueueOne(turn.payload('noop'))));
  if (!turn.offers('bulk')) return warm + alone + callers;
  const calls = Math.ceil(turn.share('jobs', sizes.bulk) / PER_CALL);
  const works = Array.from({ length: PER_CALL }, () => turn.payload('noop'));
  await timed(turn, 'enqueue.bulk', calls * PER_CALL, () => inLanes(calls, 1, () => peer.enqueueMany(works)));
  return warm + alone + callers + calls * PER_CALL;
}

/** Calls in a number of lanes at once, each call after the one before it. */
export async function inLanes(calls: number, lanes: number, call: () => Promise<unknown>): Promise<void> {
  let begun = 0;
  const lane = async (): Promise<void> => {
    while (begun < calls) {
      begun += 1;
      await call();
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, calls) }, lane));
}

async function timed(turn: Turn, metric: string, jobs: number, act: () => Promise<void>): Promise<void> {
  const server = turn.context.serverCpuUs();
  const node = process.cpuUsage();
  const start = performance.now();
  await act();
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(node);
  const after = turn.context.serverCpuUs();
  turn.add(metric, jobs / seconds);
  turn.add(`${metric}.node`, (user + system) / jobs);
  turn.add(`${metric}.server`, server === null || after === null ? null : (after - server) / jobs);
}
