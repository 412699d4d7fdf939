import { z } from 'zod';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from '../../../shared/schedule/schedule.js';
import { defineTask } from '../../../shared/task/definition.js';

const count = z.int().min(0);

const registryReconcileOutput = z.strictObject({
  entries: count,
  young: count,
  removed: count,
  jobs: count,
  registered: count,
  settled: count,
  inherited: count,
  early: count,
  restored: count,
  indexed: count,
  findable: count,
  stale: count,
  expired: count,
  complete: z.boolean(),
  took_ms: z.number().min(0),
});

export type RegistryReconcileOutput = z.output<typeof registryReconcileOutput>;

/**
 * Compares the registry with the queues and repairs the damage of crashes. Runs every RECONCILE_INTERVAL_MS; no input.
 *
 * Output, per run: the numbers of registry `entries` read, of these `young` ones whose job may not be added yet, and `removed` ones of
 * ended or missing jobs; `jobs` read, of these `registered` ones that were missing or listed wrongly; stops `settled` for dead owners;
 * tasks stopped because of their parent (`inherited`) or of a stop before their job was added (`early`); jobs in no list of their queue
 * that were `restored`; live tasks made `findable` because they were missing in the indexes of searches, and `stale` entries removed from
 * these; ended tasks `indexed` because they were missing where their retention counts them or searches find them; ended ones whose retention has
 * `expired`; and `complete`, whether everything was covered: a large fleet takes several runs, each continuing the previous.
 */
export const registryReconcile = defineTask({
  name: 'registry.reconcile',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: registryReconcileOutput,
  timeoutMs: 60_000,
  retention: MAINTENANCE_RETENTION,
});
