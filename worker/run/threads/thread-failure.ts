import { FleetError } from '../../../shared/errors.js';

/** Node's code for a thread that was terminated at its heap limit. */
const OUT_OF_MEMORY = 'ERR_WORKER_OUT_OF_MEMORY';
/** Piscina's message for a thread that ended during a run. */
const EXITED = /^worker exited with code: (-?\d+)$/;

/**
 * Returns the error of an attempt whose thread failed. A thread that ran out of memory or ended by `process.exit` gets an error with a code;
 * any other error, such as an uncaught exception, is the handler's own.
 *
 * @param memoryMb THREAD_MEMORY_MB
 */
export function threadFailure(error: unknown, name: string, memoryMb: number): unknown {
  if (!(error instanceof Error)) return error;
  if ('code' in error && error.code === OUT_OF_MEMORY) {
    const limit = memoryMb === 0 ? "Node's heap limit" : `THREAD_MEMORY_MB (${memoryMb})`;
    return new FleetError('OUT_OF_MEMORY', `${name} ran out of memory in its thread: it needs a larger heap than ${limit}.`, {
      details: { task: name, limitMb: memoryMb },
    });
  }
  const [, code] = EXITED.exec(error.message) ?? [];
  if (code === undefined) return error;
  return new FleetError('THREAD_EXITED', `${name} ended its thread, which exited with code: ${code}.`, {
    details: { task: name, exitCode: Number(code) },
  });
}

/** Returns the error of an attempt whose thread did not answer for `ms`. */
export function threadBlocked(name: string, ms: number): FleetError {
  const advice = 'isolate a handler that computes for long';
  return new FleetError('EVENT_LOOP_BLOCKED', `${name} blocked its event loop for more than EVENT_LOOP_TIMEOUT_MS (${ms}); ${advice}.`, {
    details: { task: name, limitMs: ms },
  });
}
