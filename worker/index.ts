export { type FleetWorker, type StopWorkerOptions, type WorkerConfig, createWorker } from './worker.js';
export type { WorkerStatus } from '../shared/workers/status.js';
export {
  type Handle,
  type HandlerOf,
  type HandlerOptions,
  type TaskContext,
  type TaskHandler,
  type TaskModule,
  defineHandler,
} from '../shared/task/handler.js';
export { RetryAfter, type RetryAfterOptions } from '../shared/attempt/retry-after.js';
export { defineTask } from '../shared/task/definition.js';
export { AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from '../shared/stop/cause.js';
export type { AttemptEnd, AttemptStart, HookTask, TaskEnd, WorkerHooks } from './hooks/hooks.js';
export type { Middleware, Next } from './hooks/middleware.js';
export { type Loggers, pinoLoggers } from '../shared/log/given-loggers.js';
export type { Component, Logger, LoggerFactory } from '../shared/log/logger.js';
