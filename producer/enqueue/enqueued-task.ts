import type { ChildTask } from '../../shared/task/handler.js';
import type { JobAddress } from '../../shared/task/job-options.js';
import { shardOf } from '../../shared/task/shards.js';
import type { PreparedTask } from './prepare.js';

export interface EnqueuedTask<Output = unknown> extends ChildTask {
  /** Ids of the live tasks that this task replaced, and which were stopped (`stop-previous`, `replace-waiting`). */
  readonly superseded: readonly string[];
  /** Carries the result's type; never set at runtime. */
  readonly output?: Output;
}

export const NONE: readonly string[] = Object.freeze([]);

/** Returns the address of a new task. Tasks with the same deduplication key share a shard. */
export function placeOf({ definition, dedupe }: PreparedTask, id: string): JobAddress {
  return { queue: shardOf(definition, dedupe?.id ?? id), id };
}

/** Returns the result of an enqueue. `item` is `''` for none. */
export function enqueued({ definition }: PreparedTask, { queue, id }: JobAddress, item: string, duplicate: boolean): EnqueuedTask {
  return { id, name: definition.name, queue, item: item || null, duplicate, superseded: NONE };
}
