export type * from './bodies.js';
export { TaskfleetClient } from './client.js';
export type { CallOptions, ClientOptions, Method, Query } from './connection.js';
export * from './error-classes.js';
export {
  type ClientErrorCode,
  TaskCancelledError,
  TaskFailedError,
  TaskSkippedError,
  TaskfleetError,
  UnexpectedResponseError,
  UnreachableError,
  WaitTimeoutError,
  isTransient,
} from './errors.js';
export type { StreamMessage, StreamOptions, StreamState } from './event-source.js';
export type { LogOptions } from './logs.js';
export type { StopOptions } from './stops.js';
