import { constants } from 'node:os';
import { isFleetError, messageOf } from '../shared/errors.js';
import { type WorkerMessage, tellParent } from '../worker/main.js';
import { CliError, exitCodeOf } from './errors.js';
import { goOnWithoutOutput } from './text/output.js';

export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** Returns the exit code of a process that a signal ended: 128 plus the signal number. */
export function exitCodeOfSignal(signal: EndSignal): number {
  return 128 + constants.signals[signal];
}

/**
 * Runs `work` with an AbortSignal that Ctrl+C or SIGTERM aborts; `work` should then end soon. A second signal exits at once.
 * @param goesOn returns the notice for the user: that the task keeps running, and how to stop it
 * @throws CliError `INTERRUPTED` if interrupted, whatever `work` threw
 */
export async function interruptible<Value>(goesOn: () => string, work: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
  const controller = new AbortController();
  const unlisten = (['SIGINT', 'SIGTERM'] as const).map((signal) => {
    const handler = (): void => controller.abort(new CliError('INTERRUPTED', exitCodeOfSignal(signal), goesOn()));
    process.once(signal, handler);
    return () => process.off(signal, handler);
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

/** Requests to a long-lived process: `first` to shut down, `second` to exit at once. */
export interface EndRequests {
  readonly first: Promise<EndSignal>;
  readonly second: Promise<EndSignal>;
}

/**
 * Listens for SIGINT, SIGTERM and SIGHUP. Signals after the second are ignored: an immediate exit is under way, and dying on
 * the spot would leave the redis-server behind. A closing terminal sends SIGHUP more than once, so SIGHUP never counts as the second.
 */
export function listenForEnd(): EndRequests {
  const resolvers: ((signal: EndSignal) => void)[] = [];
  const nextSignal = (): Promise<EndSignal> => new Promise((resolve) => resolvers.push(resolve));
  const requests = { first: nextSignal(), second: nextSignal() };
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (asked && signal === 'SIGHUP') return;
      asked = true;
      resolvers.shift()?.(signal);
    });
  }
  return requests;
}

/** An IPC message from a supervised process to its parent. `alive` shows that its event loop turns. */
export type ChildMessage = WorkerMessage | { readonly type: 'alive' };

const ALIVE_MS = 1_000;

/**
 * Runs a command that `taskfleet up` may have started, then exits with the resulting code, even if abandoned handlers keep the
 * process alive. A supervised process reports a start-up error to its parent, which prints it once for all children.
 * @throws what `run` throws, if the process is not supervised
 */
export async function runAsChild(supervised: boolean, run: () => Promise<number>): Promise<never> {
  if (supervised) sayAlive();
  goOnWithoutOutput();
  try {
    process.exit(await run());
  } catch (error) {
    if (!supervised) throw error;
    await tellParent({ type: 'failed', code: isFleetError(error) ? error.code : null, message: messageOf(error) });
    process.exit(exitCodeOf(error));
  }
}

/** Sends a beat every second, starting before the first task module is loaded, because loading may hang too. */
function sayAlive(): void {
  const say = (): void => {
    if (process.connected) process.send?.({ type: 'alive' } satisfies ChildMessage);
  };
  say();
  setInterval(say, ALIVE_MS).unref();
}
