import type { Producer } from '../../../producer/index.js';
import type { LimitStep } from '../../../shared/limiter/marks.js';
import { PARKED_AT } from '../../../shared/limiter/parked-jobs.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';

const HOUR_MS = 3_600_000;

/** Returns the step of a task `name` for a place of a key; `''` for a limit on all its tasks. */
export function placeStep(name: string, key: string, max = 1): LimitStep {
  return { kind: 'place', id: `task:${name}:${key}`, limit: `task:${name}#${key === '' ? 1 : 0}`, max, keyed: key !== '' };
}

/** Enqueues a task and admits it, or parks it in line, as an enqueue of a definition with these limits does. */
export async function lineUp(
  producer: Producer,
  definition: AnyDefinition,
  { id, item, steps }: { readonly id: string; readonly item?: string; readonly steps: readonly LimitStep[] },
): Promise<void> {
  const { queue, name } = await producer.enqueue(definition, {}, { id, item, delay: HOUR_MS });
  const { kind } = await producer.store.limiter.admit({ id, queue, name, priority: 0, steps });
  const job = await producer.store.queues.get(queue).getJob(id);
  if (!job) throw new Error(`Task ${id} has no job.`);
  if (kind === 'line') await job.changeDelay(PARKED_AT - Date.now());
  else await job.promote();
}
