import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import { MAINTENANCE_QUEUE } from '../../../shared/task/builtin/index.js';
import { baseQueue } from '../../../shared/task/shards.js';
import { type BoardAnswer, type BoardCall, queueNameOf } from '../board-call.js';
import { unmarked } from '../queue-view.js';

/** The page sends all options of a job that is duplicated. Attempts, back-off and what is kept are the definition's business. */
const body = z.object({
  name: z.string().max(100),
  data: z.unknown(),
  options: z.object({ jobId: z.string(), item: z.string(), delay: z.number(), priority: z.number() }).partial().default({}),
});

/**
 * A new task, or the duplicate of one: enqueued as by the API, with an input that is checked and a place in the registry.
 * @throws FleetError `BAD_REQUEST`, `UNKNOWN_TASK`, `FORBIDDEN`, `INVALID_INPUT`, `INVALID_ID`, `INVALID_ITEM`, `INVALID_OPTION`
 */
export async function addJob(call: BoardCall): Promise<BoardAnswer> {
  const { definitions, producer, request } = call;
  const queue = queueNameOf(call);
  if (queue === MAINTENANCE_QUEUE) throw new FleetError('FORBIDDEN', "This is the fleet's own queue: nothing is added to it here.");
  const parsed = body.safeParse(request.body);
  if (!parsed.success) throw new FleetError('BAD_REQUEST', `Bad job: ${z.prettifyError(parsed.error).slice(0, 200)}`);
  const { name, data, options } = parsed.data;
  const definition = definitions.find(unmarked(name));
  if (definition.queue !== baseQueue(queue))
    throw new FleetError('FORBIDDEN', `${definition.name} belongs on the queue ${definition.queue}.`);
  const { jobId, item, delay, priority } = options;
  const added = await producer.enqueue(definition, data ?? {}, { id: jobId, item: item || undefined, delay, priority });
  if (added.duplicate) throw new FleetError('INVALID_ID', `Bad task id: there is a task ${quote(added.id)}.`);
  // Perhaps on another shard than the page shows.
  return { status: 200, body: await call.show(added), outcome: added.id };
}
