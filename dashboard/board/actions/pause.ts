import { FleetError } from '../../../shared/errors.js';
import { MAINTENANCE_QUEUE } from '../../../shared/task/builtin/index.js';
import { type BoardAnswer, type BoardCall, queueNameOf, queueOf } from '../board-call.js';

/** Not the fleet's own queue: what a dead worker leaves would wait for as long. @throws FleetError `FORBIDDEN`, `NOT_FOUND` */
export async function pauseQueue(call: BoardCall): Promise<BoardAnswer> {
  if (queueNameOf(call) === MAINTENANCE_QUEUE)
    throw new FleetError('FORBIDDEN', "This is the fleet's own queue: without it nothing would be repaired after a crash. Pause others.");
  await queueOf(call).pause();
  return { status: 200, body: {} };
}

/** All queues but the fleet's own. */
export async function pauseAll({ request, store }: BoardCall): Promise<BoardAnswer> {
  const names = [...request.queues.keys()].filter((name) => name !== MAINTENANCE_QUEUE);
  await Promise.all(names.map((name) => store.queues.get(name).pause()));
  return { status: 200, body: {}, outcome: `${names.length} queues` };
}
