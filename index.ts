/** Task contracts, shared by producers and workers. */
export { ERROR_CODES, type ErrorCode, FleetError, isFleetError } from './shared/errors.js';
export { httpStatusOf } from './shared/http-status.js';
export { RetryAfter, type RetryAfterOptions } from './shared/attempt/retry-after.js';
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
export type { DedupePolicyOptions } from './shared/task/dedupe.js';
export type { TagPolicy, TagsOf } from './shared/task/tags.js';
export { type AnyDefinition, type TaskDefinition, type TaskOptions, defineTask } from './shared/task/definition.js';
export type {
  ConcurrencyLimit,
  ConcurrencyOptions,
  FairOptions,
  FairPolicy,
  KeyOf,
  KeyedTask,
  RateLimit,
  RateOptions,
  WhenBusy,
} from './shared/limiter/policy.js';
export {
  type Handle,
  type HandlerOf,
  type HandlerOptions,
  type TaskContext,
  type TaskHandler,
  type TaskModule,
  defineHandler,
} from './shared/task/handler.js';
export type { Retention, RetentionOptions, RetentionPolicy, RetryPolicy, WorkerLossPolicy } from './shared/task/policies.js';
export { type Settings, type SettingsInput, loadSettings } from './shared/settings/settings.js';
export { type Loggers, pinoLoggers } from './shared/log/given-loggers.js';
export type { Component, Logger, LoggerFactory } from './shared/log/logger.js';
