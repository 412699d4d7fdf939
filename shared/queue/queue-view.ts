import type { Pause } from './pause.js';

/** The tasks of a queue by state. */
export interface QueueCounts {
  /** Ready to run: waiting for a free slot. */
  readonly queued: number;
  /** Queued too, but waiting for a limit. */
  readonly inLine: number;
  /** Delayed: before the first attempt, or before a retry. */
  readonly scheduled: number;
  /** Waiting for children of a BullMQ flow. */
  readonly waiting: number;
  readonly running: number;
  /** Kept ones, with the skipped ones. */
  readonly completed: number;
  readonly failed: number;
  /** By the indexes of the retention. */
  readonly cancelled: number;
}

/** A pause, and the BullMQ queues that it holds. */
export interface QueuePause extends Pause {
  /** Fewer than the queue's shards if a client of BullMQ paused or resumed some of them. */
  readonly shards: readonly string[];
}

/** The public view of a logical queue, summed over its shards. */
export interface QueueView {
  readonly name: string;
  /** Its BullMQ queues; a queue without shards is its only one. */
  readonly shards: readonly string[];
  /** Whether it is the fleet's own queue: while that is paused, nothing is repaired after a crash, and no bulk makes progress. */
  readonly builtIn: boolean;
  /** Null for a queue that runs. */
  readonly paused: QueuePause | null;
  readonly counts: QueueCounts;
  /** How long the task that has waited longest has been ready to run, in ms; null if none waits. */
  readonly oldestWaitMs: number | null;
  /** That task; its name is null if unreadable. */
  readonly oldestWaitTask: { readonly id: string; readonly name: string | null } | null;
  /** Enqueued and retried tasks in the last minute. */
  readonly inPerMinute: number;
  /** Ended tasks in the last minute. */
  readonly outPerMinute: number;
  /** Limits of the definitions of its tasks, and of the queue as a whole. */
  readonly limits: number;
  /** BullMQ's limit on running tasks, of each shard; null for none. */
  readonly concurrency: number | null;
  /** Live workers that fetch from it, by id. */
  readonly workers: readonly string[];
  /** The total concurrency of these workers, which they share between their queues. */
  readonly slots: number;
  /** Keys of the wrong type in Redis, whose tasks are not counted; null if there are none. */
  readonly problem: string | null;
}

/** Formats a pause for the CLI and HTTP. */
export function pauseToJson({ by, at, reason }: Pause): { by: string | null; at: string | null; reason: string | null } {
  return { by, at: at?.toISOString() ?? null, reason };
}

/** Formats a queue for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function queueToJson(queue: QueueView): Record<string, unknown> {
  const { queued, inLine, scheduled, waiting, running, completed, failed, cancelled } = queue.counts;
  return {
    name: queue.name,
    shards: queue.shards,
    built_in: queue.builtIn,
    paused: queue.paused && { ...pauseToJson(queue.paused), shards: queue.paused.shards },
    counts: { queued, in_line: inLine, scheduled, waiting, running, completed, failed, cancelled },
    oldest_wait_ms: queue.oldestWaitMs,
    oldest_wait_task: queue.oldestWaitTask,
    in_per_minute: queue.inPerMinute,
    out_per_minute: queue.outPerMinute,
    limits: queue.limits,
    concurrency: queue.concurrency,
    workers: queue.workers,
    slots: queue.slots,
    problem: queue.problem,
  };
}
