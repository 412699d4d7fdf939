import { z } from 'zod';
import { defineTask } from '../definition.js';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from './maintenance-queue.js';

const count = z.int().min(0);

/** What a clean-up of a pool did. */
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
 * Removes the sessions of `p:usage_pool` that were not refreshed for USAGE_POOL_TIMEOUT, and the models that have none
 * left. Scheduled, USAGE_POOL_CLEAN_INTERVAL_MS apart; no input.
 *
 * Output: `skipped`, whether somebody else held `p:usage_cleanup_lock` at every attempt, and nothing was done; `lost`,
 * whether it was taken away in the middle, and the run ended there; `entries` of the pool looked at, of which `removed` are
 * gone; how many `sessions` are; `invalid` entries and sessions that could not be understood, and were left alone;
 * `batches`, the scripts that it took.
 */
export const usagePoolClean = defineTask({
  name: 'usage-pool.clean',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: poolCleanOutput,
  retention: MAINTENANCE_RETENTION,
});

/**
 * The same for `p:session_pool`: entries that were not seen for SESSION_POOL_TIMEOUT go, under `p:session_cleanup_lock`.
 * An entry is a session, so `sessions` and `removed` are the same. Scheduled, SESSION_POOL_CLEAN_INTERVAL_MS apart.
 */
export const sessionPoolClean = defineTask({
  name: 'session-pool.clean',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: poolCleanOutput,
  retention: MAINTENANCE_RETENTION,
});
