import { registryReconcile } from '../../shared/task/builtin/index.js';
import { type TaskHandler, defineHandler } from '../../shared/task/handler.js';
import type { Reconciler } from '../reconcile/reconciler.js';

/** The handler of `registry.reconcile`. */
export function registryReconcileHandler(reconciler: Reconciler): TaskHandler {
  return defineHandler(registryReconcile, ({ signal }) => reconciler.run(signal));
}
