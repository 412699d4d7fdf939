import { isFleetError, messageOf } from '../shared/errors.js';
import { beatToParent, exitCodeOfSignal, tellParent } from '../shared/process/process-life.js';
import { CliError, exitCodeOf } from './errors.js';
import type { Io } from './io.js';
import { ignoreOutputErrors } from './text/output.js';

/**
 * Runs `work` with an AbortSignal that Ctrl+C or SIGTERM aborts; `work` should then end soon. A second signal exits at once.
 * @param notice returns the notice for the user: that the task keeps running, and how to stop it
 * @throws CliError `INTERRUPTED` if interrupted, whatever `work` threw
 */
export async function interruptible<Value>(
  { host }: Io,
  notice: () => string,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const controller = new AbortController();
  const unlisten = (['SIGINT', 'SIGTERM'] as const).map((signal) => {
    const handler = (): void => controller.abort(new CliError('INTERRUPTED', exitCodeOfSignal(signal), notice()));
    host.once(signal, handler);
    return () => host.off(signal, handler);
  });
  try {
    return await work(controller.signal);
  } catch (error) {
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    for (const each of unlisten) each();
  }
}

/** Rejects once the signal is aborted, for work that does not accept a signal. */
export async function orAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  return Promise.race([work, aborted]);
}

/**
 * Runs a command that `taskfleet up` may have started, and returns its exit code. A supervised process sends beats, starting before the
 * first task module is loaded, because loading may hang too; and it reports a start-up error to its parent, which prints it once for all
 * children.
 * @throws what `run` throws, if the process is not supervised
 */
export async function runAsChild(io: Io, supervised: boolean, run: () => Promise<number>): Promise<number> {
  if (supervised) beatToParent(io.host);
  ignoreOutputErrors(io);
  try {
    return await run();
  } catch (error) {
    if (!supervised) throw error;
    await tellParent(io.host, { type: 'failed', code: isFleetError(error) ? error.code : null, message: messageOf(error) });
    return exitCodeOf(error);
  }
}
