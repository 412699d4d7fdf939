import type { AnyDefinition } from '../definition.js';
import { billingInitPlans } from './billing-init-plans.js';
import { chatCompletion } from './chat-completion.js';
import { documentIndex } from './document-index.js';
import { fleetCanary } from './fleet-canary.js';
import { modelsRefresh } from './models-refresh.js';
import { sessionPoolClean, usagePoolClean } from './pool-clean.js';
import { registryReconcile } from './registry-reconcile.js';

export {
  type BillingInitPlansInput,
  type BillingInitPlansOutput,
  type BillingPlanLine,
  billingInitPlans,
  billingPlanLine,
} from './billing-init-plans.js';
export { type ChatCompletionChunk, type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from './chat-completion.js';
export { type DocumentIndexInput, type DocumentIndexOutput, documentIndex } from './document-index.js';
export { type FleetCanaryInput, type FleetCanaryOutput, fleetCanary } from './fleet-canary.js';
export { MAINTENANCE_QUEUE } from './maintenance-queue.js';
export { type ModelsRefreshOutput, modelsRefresh } from './models-refresh.js';
export { type PoolCleanOutput, sessionPoolClean, usagePoolClean } from './pool-clean.js';
export { type RegistryReconcileOutput, registryReconcile } from './registry-reconcile.js';

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
