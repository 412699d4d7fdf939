export { type FleetWorker, type WorkerConfig, createWorker } from './worker.js';
export type { WorkerStatus } from '../shared/records/heartbeats.js';
export {
  type Handle,
  type HandlerOptions,
  type TaskContext,
  type TaskHandler,
  type TaskModule,
  defineHandler,
} from '../shared/task/handler.js';
export { defineTask } from '../shared/task/definition.js';
export { AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from '../shared/stop/cause.js';
