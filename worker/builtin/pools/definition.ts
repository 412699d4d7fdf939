import { z } from 'zod';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from '../../../shared/schedule/schedule.js';
import { defineTask } from '../../../shared/task/definition.js';

const count = z.int().min(0);

const poolCleanOutput = z.strictObject({
  skipped: z.boolean(),
  lost: z.boolean(),
  entries: count,
  removed: count,
  sessions: count,
  invalid: count,
  batches: count,
  took_ms: z.number().min(0),
});

export type PoolCleanOutput = z.output<typeof poolCleanOutput>;

/**
 * Removes sessions from `p:usage_pool` that were not refreshed for USAGE_POOL_TIMEOUT, and models without sessions. Runs every
 * USAGE_POOL_CLEAN_INTERVAL_MS; no input.
 *
 * Output: `skipped`, whether another owner held `p:usage_cleanup_lock` at every attempt, so that nothing was done; `lost`, whether the
 * lock was lost and the run ended early; the numbers of `entries` read, entries `removed`, `sessions` removed, `invalid` entries and
 * sessions, which were left alone, and `batches`.
 */
export const usagePoolClean = defineTask({
  name: 'usage-pool.clean',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: poolCleanOutput,
  retention: MAINTENANCE_RETENTION,
});

/**
 * Removes entries from `p:session_pool` that were not seen for SESSION_POOL_TIMEOUT, under `p:session_cleanup_lock`. An entry is a
 * session, so `sessions` equals `removed`. Runs every SESSION_POOL_CLEAN_INTERVAL_MS; the output is that of {@link usagePoolClean}.
 */
export const sessionPoolClean = defineTask({
  name: 'session-pool.clean',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: poolCleanOutput,
  retention: MAINTENANCE_RETENTION,
});
