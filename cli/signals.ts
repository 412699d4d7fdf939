import { constants } from 'node:os';
import { CliError } from './cli-error.js';

export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** The exit code of a process that a signal has ended, as shells have it. */
export function exitCodeOfSignal(signal: EndSignal): number {
  return 128 + constants.signals[signal];
}

/**
 * Runs `work` with a signal that Ctrl+C or SIGTERM aborts, upon which it is to end soon. A second one ends the process.
 * @param goesOn what the person should know then: that the task goes on, and how to stop it
 * @throws CliError `INTERRUPTED`, whatever `work` threw once it was interrupted
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

/** For work that knows no signals: is not waited for any longer once the signal is aborted. */
export async function orAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  return Promise.race([work, aborted]);
}

/** What a process that lives long is asked to do: to end, then to end at once. */
export interface EndRequests {
  readonly first: Promise<EndSignal>;
  readonly second: Promise<EndSignal>;
}

/**
 * Listens for SIGINT, SIGTERM and SIGHUP. Further ones change nothing: an end at once is on its way, and a process that
 * ended on the spot would leave its redis-server behind. A terminal that is closed sends SIGHUP more than once: that is a
 * wish to end, never one for haste.
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
