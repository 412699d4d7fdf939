import type { RetentionPolicy } from '../definition.js';

/** The queue of what the fleet does for itself. */
export const MAINTENANCE_QUEUE = 'maintenance';

/**
 * The same for all tasks of the queue: BullMQ applies what one of them says to those of the others too. It is for what
 * somebody asked for. Of what is done by schedule nothing is kept that went well: see worker/schedule-table.ts.
 */
export const MAINTENANCE_RETENTION: RetentionPolicy = {
  completed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
  failed: { ageMs: 7 * 24 * 3_600_000, count: 1_000 },
};
