import { FleetError } from '../../../shared/errors.js';
import { isName } from '../../../shared/keys.js';
import { BUILTIN_DEFINITIONS, MAINTENANCE_QUEUE } from '../../../shared/task/builtin/index.js';
import { type BoardAnswer, type BoardCall, queueNameOf } from '../board-call.js';

/** A task of a schedule, now. @throws FleetError `SCHEDULE_NOT_FOUND`, `NOT_FOUND` */
export async function runScheduler(call: BoardCall): Promise<BoardAnswer> {
  const id = schedulerOf(call);
  if (!(await isOurs(call, id))) return proceed(call);
  const added = await call.producer.schedules.runNow(id);
  return { status: 200, body: await call.show(added), outcome: added.id };
}

/** A schedule that a user made; the fleet's own stay. @throws FleetError `FORBIDDEN`, `SCHEDULE_NOT_FOUND`, `NOT_FOUND` */
export async function removeScheduler(call: BoardCall): Promise<BoardAnswer> {
  const id = schedulerOf(call);
  if (isBuiltIn(call, id)) throw new FleetError('FORBIDDEN', `Schedule ${id} is the fleet's own, and its workers would make it again.`);
  if (!(await isOurs(call, id))) return proceed(call);
  await call.producer.schedules.remove(id);
  return { status: 204, body: {} };
}

/** False for one that somebody made with BullMQ alone: to the fleet its jobs are like any that a plain queue adds. */
async function isOurs(call: BoardCall, id: string): Promise<boolean> {
  if (isBuiltIn(call, id)) return true;
  const queue = queueNameOf(call);
  return isName(id) && (await call.producer.schedules.list()).some((one) => one.id === id && one.queue === queue);
}

function isBuiltIn(call: BoardCall, id: string): boolean {
  return queueNameOf(call) === MAINTENANCE_QUEUE && BUILTIN_DEFINITIONS.some(({ name }) => name === id);
}

async function proceed(call: BoardCall): Promise<BoardAnswer> {
  const { status = 200, body } = await call.proceed();
  return { status, body };
}

function schedulerOf({ request }: BoardCall): string {
  return String(request.params['schedulerId']);
}
