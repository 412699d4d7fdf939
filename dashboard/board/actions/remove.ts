import { chunks } from '../../../shared/chunks.js';
import { FleetError } from '../../../shared/errors.js';
import { writeRemoval } from '../../../shared/task/event-stream.js';
import { isTerminal } from '../../../shared/task/state.js';
import { type BoardAnswer, type BoardCall, checkMeans, idsOn, queueNameOf, queueOf, taskOf } from '../board-call.js';

const REASON = 'Removed on the board';
const STOPPED_AT_ONCE = 10_000;
const REMOVED_AT_ONCE = 500;

/**
 * One job. What has not ended is stopped first: so it leaves the registry, and whoever waits for it hears. What runs is
 * stopped only, with 202, and can be removed once it has ended.
 * @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN`
 */
export async function removeJob(call: BoardCall): Promise<BoardAnswer> {
  const { id, state } = await taskOf(call);
  if (!isTerminal(state)) {
    await checkMeans(call, queueNameOf(call), id);
    const { outcome } = await call.producer.stop(id, { by: call.principal.name, reason: REASON });
    if (outcome === 'requested') return { status: 202, body: {}, outcome: 'stop requested' };
    await sayCancelled(call, [id]);
  }
  const removed = await queueOf(call).remove(id);
  if (removed === 0) throw new FleetError('FORBIDDEN', `Task ${id} has begun to run meanwhile: stop it first.`);
  return { status: 204, body: {}, outcome: 'removed' };
}

/** Stops tasks that have not ended. */
export async function stopTasks(
  call: BoardCall,
  ids: readonly string[],
  reason: string,
): Promise<{ readonly cancelled: string[]; readonly requested: number }> {
  const queue = queueNameOf(call);
  const cancelled: string[] = [];
  let requested = 0;
  for (const some of chunks(ids, STOPPED_AT_ONCE)) {
    const receipts = await call.producer.stop(await idsOn(call, queue, some), { by: call.principal.name, reason });
    cancelled.push(...receipts.flatMap(({ id, outcome }) => (outcome === 'cancelled' ? [id] : [])));
    requested += receipts.filter(({ outcome }) => outcome === 'requested').length;
  }
  return { cancelled, requested };
}

/** Stops tasks that wait, and removes those that nobody had begun to run. Says what became of them. */
export async function removeWaiting(call: BoardCall, ids: readonly string[]): Promise<string> {
  const { cancelled, requested } = await stopTasks(call, ids, REASON);
  const queue = queueOf(call);
  for (const some of chunks(cancelled, REMOVED_AT_ONCE)) {
    await sayCancelled(call, some);
    await Promise.all(some.map((id) => queue.remove(id)));
  }
  return `${cancelled.length} removed${requested > 0 ? `, ${requested} asked to stop` : ''}`;
}

/** Whoever waits may look only when the job is gone. */
async function sayCancelled({ store: { redis, keys } }: BoardCall, ids: readonly string[]): Promise<void> {
  await Promise.all(ids.flatMap((id) => writeRemoval(redis, keys.events(id))));
}
