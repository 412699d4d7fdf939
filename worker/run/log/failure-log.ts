import type { Failure } from '../../../shared/attempt/failure.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { FleetJob } from '../../fetch/fleet-job.js';

interface FailureLine {
  readonly level: 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Describes a failed attempt: a warning if the task is retried, an error if it has failed; null if the attempt has not failed. */
export function failureLine({ maxAttempts, failed }: FleetJob): FailureLine | null {
  if (failed === null) return null;
  const error = brief(failed.failure);
  return failed.retryMs === null
    ? { level: 'error', message: 'Task failed', fields: { of: maxAttempts, error } }
    : { level: 'warn', message: 'Attempt failed; retrying', fields: { of: maxAttempts, delayMs: failed.retryMs, error } };
}

/** Logs a failed attempt. */
export function logFailure(logger: Logger, job: FleetJob): void {
  const line = failureLine(job);
  const { id, name, attempt } = job;
  if (line) logger[line.level]({ id, name, attempt, ...job.run?.span?.fields, ...line.fields }, line.message);
}

/** Leaves out what a failure does not have. */
function brief({ name, message, code, stack, cause, errors }: Failure): Record<string, unknown> {
  return {
    ...{ name, message },
    ...(code !== null && { code }),
    ...(stack !== null && { stack }),
    ...(cause && { cause: brief(cause) }),
    ...(errors.length > 0 && { errors: errors.map(brief) }),
  };
}
