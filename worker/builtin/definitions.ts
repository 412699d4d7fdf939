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
