import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { registryReconcile } from '../definitions.js';
import type { FleetResources } from '../fleet-resources.js';
import { Reconciler } from './reconciler.js';

/** The handler of `registry.reconcile`. */
export function registryReconcileHandler({ store, settings, loggers }: FleetResources): TaskHandler {
  const reconciler = new Reconciler({ store, graceMs: settings.enqueueGraceMs, logger: loggers('worker') });
  return defineHandler(registryReconcile, ({ signal }) => reconciler.run(signal));
}
