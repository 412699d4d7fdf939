import type { AnyDefinition } from '../definition.js';
import { chatCompletion } from './chat-completion.js';
import { documentIndex } from './document-index.js';
import { fleetCanary } from './fleet-canary.js';
import { registryReconcile } from './registry-reconcile.js';

export { type ChatCompletionInput, type ChatCompletionOutput, chatCompletion } from './chat-completion.js';
export { type DocumentIndexInput, type DocumentIndexOutput, documentIndex } from './document-index.js';
export { type FleetCanaryInput, type FleetCanaryOutput, fleetCanary } from './fleet-canary.js';
export { MAINTENANCE_QUEUE } from './maintenance-queue.js';
export { type RegistryReconcileOutput, registryReconcile } from './registry-reconcile.js';

/** The definitions of all built-in tasks. */
export const BUILTIN_DEFINITIONS: readonly AnyDefinition[] = Object.freeze([chatCompletion, documentIndex, fleetCanary, registryReconcile]);
