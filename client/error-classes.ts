import { TaskfleetError } from './errors.js';

export class BadRequestError extends TaskfleetError {}
export class InvalidIdError extends TaskfleetError {}
export class InvalidInputError extends TaskfleetError {}
export class InvalidItemError extends TaskfleetError {}
export class InvalidOptionError extends TaskfleetError {}
export class UnknownTaskError extends TaskfleetError {}
export class UnauthenticatedError extends TaskfleetError {}
export class ForbiddenError extends TaskfleetError {}
export class QueueNotFoundError extends TaskfleetError {}
export class WorkerNotFoundError extends TaskfleetError {}
export class LimitNotFoundError extends TaskfleetError {}
export class NotFoundError extends TaskfleetError {}
export class ScheduleNotFoundError extends TaskfleetError {}
export class TaskNotFoundError extends TaskfleetError {}
export class MethodNotAllowedError extends TaskfleetError {}
export class RequestTimeoutError extends TaskfleetError {}
export class IdempotencyInProgressError extends TaskfleetError {}
export class ItemBusyError extends TaskfleetError {}
export class MalformedDataError extends TaskfleetError {}
export class ParentHoldsKeyError extends TaskfleetError {}
export class TaskFinishedError extends TaskfleetError {}
export class TaskNotRetryableError extends TaskfleetError {}
export class BodyTooLargeError extends TaskfleetError {}
export class InputTooLargeError extends TaskfleetError {}
export class UnsupportedMediaTypeError extends TaskfleetError {}
export class IdempotencyConflictError extends TaskfleetError {}
export class TooManyRequestsError extends TaskfleetError {}
export class NotReplicatedError extends TaskfleetError {}
export class RedisUnavailableError extends TaskfleetError {}
export class RedisOutOfMemoryError extends TaskfleetError {}
export class RedisWrongTypeError extends TaskfleetError {}
export class RedisError extends TaskfleetError {}
export class KeysUnavailableError extends TaskfleetError {}
export class ClosedError extends TaskfleetError {}
export class InternalError extends TaskfleetError {}

/** The classes of the errors that the API sends, by name: see `nameOf`. */
export const ERROR_CLASSES = {
  BadRequestError,
  InvalidIdError,
  InvalidInputError,
  InvalidItemError,
  InvalidOptionError,
  UnknownTaskError,
  UnauthenticatedError,
  ForbiddenError,
  QueueNotFoundError,
  WorkerNotFoundError,
  LimitNotFoundError,
  NotFoundError,
  ScheduleNotFoundError,
  TaskNotFoundError,
  MethodNotAllowedError,
  RequestTimeoutError,
  IdempotencyInProgressError,
  ItemBusyError,
  MalformedDataError,
  ParentHoldsKeyError,
  TaskFinishedError,
  TaskNotRetryableError,
  BodyTooLargeError,
  InputTooLargeError,
  UnsupportedMediaTypeError,
  IdempotencyConflictError,
  TooManyRequestsError,
  NotReplicatedError,
  RedisUnavailableError,
  RedisOutOfMemoryError,
  RedisWrongTypeError,
  RedisError,
  KeysUnavailableError,
  ClosedError,
  InternalError,
} as const;
