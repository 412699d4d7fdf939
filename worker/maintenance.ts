import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { Settings } from '../shared/settings.js';
import type { Store } from '../shared/store.js';
import { Reconciler } from './reconcile/reconciler.js';
import type { LoadedHandler } from './task-modules.js';
import { registryReconcileHandler } from './tasks/registry-reconcile.js';

/**
 * The handlers of what the fleet does for itself. Unlike those of task modules they work on the fleet's own Redis, over
 * the worker's connection.
 * @throws FleetError `INVALID_DEFINITION` if a task module has one of their names
 */
export function withMaintenance(handlers: ReadonlyMap<string, LoadedHandler>, store: Store, settings: Settings, logger: Logger): ReadonlyMap<string, LoadedHandler> {
  const all = new Map(handlers);
  for (const handler of [registryReconcileHandler(new Reconciler({ store, graceMs: settings.enqueueGraceMs, logger }))]) {
    const { name } = handler.definition;
    if (all.has(name)) throw new FleetError('INVALID_DEFINITION', `The task ${name} is the fleet's own.`, { details: { task: name } });
    all.set(name, { ...handler, source: { moduleUrl: '', name } });
  }
  return all;
}
