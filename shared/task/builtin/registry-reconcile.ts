import { z } from 'zod';
import { defineTask } from '../definition.js';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from './maintenance-queue.js';

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
  complete: z.boolean(),
  took_ms: z.number().min(0),
});

export type RegistryReconcileOutput = z.output<typeof registryReconcileOutput>;

/**
 * Compares the registry with the queues and repairs what crashes left. Scheduled, RECONCILE_INTERVAL_MS apart; no input.
 *
 * Output, all of one run: `entries` of the registry looked at, of which `young` are without a job and may be on their
 * way, and `removed` were of jobs that had ended or are gone; `jobs` looked at, of which `registered` were missing or
 * listed wrongly; stops `settled` for owners that are dead; tasks stopped because their parent was (`inherited`), or
 * because somebody had stopped them before their job was there (`early`); jobs put back that were in none of the lists of
 * their queue (`restored`); `complete`, whether it got through everything: a large fleet takes several runs, each going on
 * where the one before left off.
 */
export const registryReconcile = defineTask({
  name: 'registry.reconcile',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: registryReconcileOutput,
  timeoutMs: 60_000,
  retention: MAINTENANCE_RETENTION,
});
