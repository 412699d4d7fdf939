import { FleetError } from '../../shared/errors.js';
import type { TaskHandler } from '../../shared/task/handler.js';
import type { LoadedHandler } from '../task-modules.js';
import { billingInitPlansHandler } from './billing/handler.js';
import { bulkHandlers } from './bulk/handler.js';
import { hasMaintenanceTask } from './definitions.js';
import type { FleetResources } from './fleet-resources.js';
import { modelsRefreshHandler } from './models/handler.js';
import { sessionPoolCleanHandler, usagePoolCleanHandler } from './pools/handlers.js';
import { registryReconcileHandler } from './reconcile/handler.js';

/**
 * Adds the handlers of the fleet's own tasks. Unlike task modules, they use the fleet's own Redis over the worker's connection.
 * @throws FleetError `INVALID_DEFINITION` if a task module uses one of their names
 */
export function withMaintenance(handlers: ReadonlyMap<string, LoadedHandler>, fleet: FleetResources): ReadonlyMap<string, LoadedHandler> {
  const all = new Map(handlers);
  for (const handler of maintenanceHandlers(fleet)) {
    const { name } = handler.definition;
    if (all.has(name))
      throw new FleetError('INVALID_DEFINITION', `The task name ${name} is reserved for the fleet's own tasks: rename the task.`, {
        details: { task: name },
      });
    if (hasMaintenanceTask(fleet.settings, name)) all.set(name, { ...handler, source: { moduleUrl: '', name } });
  }
  return all;
}

function maintenanceHandlers(fleet: FleetResources): readonly TaskHandler[] {
  return [
    ...bulkHandlers(fleet),
    billingInitPlansHandler(fleet),
    modelsRefreshHandler(fleet),
    registryReconcileHandler(fleet),
    sessionPoolCleanHandler(fleet),
    usagePoolCleanHandler(fleet),
  ];
}
