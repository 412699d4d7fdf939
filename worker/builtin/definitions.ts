import { matchesNames } from '../../shared/settings/name-patterns.js';
import type { Settings } from '../../shared/settings/settings.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { billingInitPlans } from './billing/definition.js';
import { fleetCanary } from './canary/definition.js';
import { chatCompletion } from './chat/definition.js';
import { documentIndex } from './documents/definition.js';
import { modelsRefresh } from './models/definition.js';
import { sessionPoolClean, usagePoolClean } from './pools/definition.js';
import { registryReconcile } from './reconcile/definition.js';

export {
  type BillingInitPlansInput,
  type BillingInitPlansOutput,
  type BillingPlanLine,
  billingInitPlans,
  billingPlanLine,
} from './billing/definition.js';
export { BULK_DEFINITIONS, type BulkInput, type BulkOutput, bulkInput } from './bulk/definition.js';
export { type ChatCompletionChunk, type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from './chat/definition.js';
export { type DocumentIndexInput, type DocumentIndexOutput, documentIndex } from './documents/definition.js';
export { type FleetCanaryInput, type FleetCanaryOutput, fleetCanary } from './canary/definition.js';
export { MAINTENANCE_QUEUE } from '../../shared/schedule/schedule.js';
export { type ModelsRefreshOutput, modelsRefresh } from './models/definition.js';
export { type PoolCleanOutput, sessionPoolClean, usagePoolClean } from './pools/definition.js';
export { type RegistryReconcileOutput, registryReconcile } from './reconcile/definition.js';

/** The definitions of all built-in tasks. */
export const BUILTIN_DEFINITIONS: readonly AnyDefinition[] = Object.freeze([
  billingInitPlans,
  chatCompletion,
  documentIndex,
  fleetCanary,
  modelsRefresh,
  registryReconcile,
  sessionPoolClean,
  usagePoolClean,
]);

/** Tasks that BUILTIN_TASKS does not turn off: repairs, and the bulk acts of the dashboard. */
const ESSENTIAL: ReadonlySet<string> = new Set([registryReconcile.name, 'fleet.stop-tasks', 'fleet.retry-tasks']);

/** Returns whether a worker with these settings has one of the fleet's own tasks. The fleet cannot do without its reconciler. */
export function hasMaintenanceTask({ builtinTasks }: Pick<Settings, 'builtinTasks'>, name: string): boolean {
  return ESSENTIAL.has(name) || matchesNames(builtinTasks, name);
}
