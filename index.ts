/** Task contracts, shared by producers and workers. */
export { ERROR_CODES, type ErrorCode, FleetError, isFleetError } from './shared/errors.js';
export { AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from './shared/stop/cause.js';
export { TaskCancelled } from './shared/stop/receipt.js';
export {
  BUILTIN_DEFINITIONS,
  billingInitPlans,
  chatCompletion,
  documentIndex,
  fleetCanary,
  modelsRefresh,
  sessionPoolClean,
  usagePoolClean,
} from './worker/builtin/definitions.js';
export {
  type AnyDefinition,
  type Retention,
  type RetentionPolicy,
  type RetryPolicy,
  type TaskDefinition,
  type TaskOptions,
  defineTask,
} from './shared/task/definition.js';
export {
  type Handle,
  type HandlerOptions,
  type TaskContext,
  type TaskHandler,
  type TaskModule,
  defineHandler,
} from './shared/task/handler.js';
export { type Settings, type SettingsInput, loadSettings } from './shared/settings/settings.js';
