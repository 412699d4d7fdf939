import type { DeduplicationOptions } from 'bullmq';
import { marksIn } from '../../../shared/limiter/marks.js';
import type { Dedupe } from '../../../shared/task/dedupe.js';
import { jobOptions } from '../../../shared/task/job-options.js';
import type { PreparedTask } from '../prepare.js';

/** Returns the options of a task's job, for BullMQ to encode. */
export function optionsOf(
  { definition, item, tags, delay, priority, deadline, parent, schedule, dedupe, steps, ancestors, carrier }: PreparedTask,
  nonce: string | undefined,
) {
  return {
    ...jobOptions(definition),
    item,
    ...(tags.length > 0 && { tags }),
    ...(delay > 0 && { delay }),
    ...(priority > 0 && { priority }),
    ...(deadline !== null && { deadline }),
    ...(parent && { childOf: { queue: parent.queue, id: parent.id } }),
    ...(nonce && { nonce }),
    ...(schedule && { schedule }),
    ...(steps && { limits: marksIn(steps) }),
    ...(ancestors.length > 0 && { ancestors }),
    ...(dedupe && { dedupe: dedupe.mode, deduplication: deduplicationOf(dedupe) }),
    ...(carrier !== undefined && { telemetry: { metadata: carrier } }),
  };
}

/** Returns the options of a task's job as JSON, as BullMQ stores them. */
export function storedOptionsOf(task: PreparedTask, nonce: string | undefined): string {
  const { deduplication: de, telemetry, ...options } = optionsOf(task, nonce);
  return JSON.stringify({ ...options, de, tm: telemetry?.metadata });
}

/** Only a throttled task's key expires; the end of the task frees the others. */
function deduplicationOf({ id, mode, withinMs }: Dedupe): DeduplicationOptions {
  return { id, ...(mode === 'throttle' && withinMs !== null && { ttl: withinMs }) };
}
