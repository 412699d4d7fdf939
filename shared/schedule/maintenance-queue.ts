import type { RetentionPolicy } from '../task/definition.js';

/** The queue of the fleet's own tasks. */
export const MAINTENANCE_QUEUE = 'maintenance';

/**
 * The retention of tasks on demand, the same for all tasks of the queue: BullMQ applies each task's retention to the whole queue.
 * Scheduled tasks that complete are not kept: see worker/schedule-table.ts.
 */
export const MAINTENANCE_RETENTION: RetentionPolicy = {
  completed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
  failed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
};
