import type { Io } from '../io.js';

/**
 * Runs work that a user ends: with an AbortSignal that SIGINT, SIGTERM, SIGHUP or the call of `end` aborts. Resolves when the work does,
 * and without an error once it was ended.
 */
export async function untilEnded({ host }: Io, work: (signal: AbortSignal, end: () => void) => Promise<void>): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) host.once(signal, end);
  const ended = new Promise<void>((resolve) => ending.signal.addEventListener('abort', () => resolve(), { once: true }));
  try {
    // A read that hangs must not keep the command from ending.
    await Promise.race([work(ending.signal, end), ended]);
  } finally {
    end();
    for (const signal of signals) host.off(signal, end);
  }
}
