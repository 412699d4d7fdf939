import { constants } from 'node:os';
import { messageOf } from '../errors.js';
import type { Logger } from '../log/logger.js';

/** The part of `process` that ends a program or talks to its parent process. Only cli/main.ts passes the real one. */
export type HostProcess = Pick<NodeJS.Process, 'pid' | 'version' | 'memoryUsage' | 'connected' | 'send' | 'on' | 'once' | 'off' | 'exit'>;

export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** A message of a supervised process to its parent, over IPC. */
export type ChildMessage =
  /** Shows that the event loop turns. */
  | { readonly type: 'alive' }
  /** `id` is the worker's id or the dashboard's URL. */
  | { readonly type: 'ready'; readonly id: string }
  /** The process could not start; `code` is the error's, null for an error without one. */
  | { readonly type: 'failed'; readonly code: string | null; readonly message: string };

/** Why a process shuts down, and its exit code after an orderly shutdown. */
interface Shutdown {
  readonly why: string;
  readonly code: number;
}

interface ProcessLifeOptions {
  readonly host: HostProcess;
  readonly logger: Logger;
  /**
   * True for a child of `taskfleet up`. Such a process leaves Ctrl+C to its parent (a terminal signals both), reports over IPC when it is
   * ready, and shuts down when its parent is gone. Default false.
   */
  readonly supervised?: boolean;
}

const ALIVE_MS = 1_000;
/** EX_SOFTWARE of sysexits.h. */
const EXIT_SOFTWARE = 70;

/** Returns the exit code of a process that a signal ended: 128 plus the signal number. */
export function exitCodeOfSignal(signal: EndSignal): number {
  return 128 + constants.signals[signal];
}

/**
 * Decides when a long-lived process ends; listens from construction on.
 *
 * SIGTERM, SIGINT and SIGHUP request an orderly shutdown with code 0, a second signal an immediate exit. An uncaught exception requests an
 * orderly shutdown with code 70, the end of a supervised process's parent one with code 0. An unhandled rejection is only logged: it
 * belongs to one handler and need not affect the others.
 */
export class ProcessLife {
  /** Resolves with the first reason to shut down. */
  readonly shutdown: Promise<Shutdown>;
  /**
   * Resolves with the second signal. Later ones are ignored: an immediate exit is under way, and dying on the spot would leave an embedded
   * Redis behind.
   */
  readonly forced: Promise<EndSignal>;
  readonly #host: HostProcess;
  readonly #supervised: boolean;

  constructor({ host, logger, supervised = false }: ProcessLifeOptions) {
    this.#host = host;
    this.#supervised = supervised;
    let shutDown: (shutdown: Shutdown) => void = () => undefined;
    let force: (signal: EndSignal) => void = () => undefined;
    this.shutdown = new Promise((resolve) => (shutDown = resolve));
    this.forced = new Promise((resolve) => (force = resolve));
    let signals = 0;
    const onSignal = (signal: EndSignal): void => {
      // A closing terminal sends SIGHUP more than once; that does not mean urgency.
      if (signal === 'SIGHUP' && signals > 0) return;
      signals += 1;
      if (signals === 1) shutDown({ why: signal, code: 0 });
      else force(signal);
    };
    host.on('SIGTERM', onSignal);
    for (const signal of ['SIGINT', 'SIGHUP'] as const) host.on(signal, supervised ? () => undefined : onSignal);
    if (supervised) host.once('disconnect', () => shutDown({ why: 'the parent process is gone', code: 0 }));
    host.on('uncaughtException', (error) => {
      logUncaught(logger, 'fatal', error, 'Uncaught exception; shutting down');
      shutDown({ why: 'uncaught exception', code: EXIT_SOFTWARE });
    });
    host.on('unhandledRejection', (reason) => logUncaught(logger, 'error', reason, 'Unhandled rejection'));
  }

  /** Tells the parent of a supervised process that it is ready. */
  async announceReady(id: string): Promise<void> {
    if (this.#supervised) await tellParent(this.#host, { type: 'ready', id });
  }
}

/** Sends a message to the parent process, if it is still there. */
export function tellParent(host: HostProcess, message: ChildMessage): Promise<void> {
  return new Promise((resolve) => {
    if (host.send && host.connected) host.send(message, () => resolve());
    else resolve();
  });
}

/** Tells the parent process every second that the event loop turns. */
export function beatToParent(host: HostProcess): void {
  const beat = (): void => void tellParent(host, { type: 'alive' });
  beat();
  setInterval(beat, ALIVE_MS).unref();
}

/** Logs an uncaught value, of which only errors are logged as objects: it may be a task's input. Never throws. */
export function logUncaught(logger: Logger, level: 'error' | 'fatal', thrown: unknown, message: string): void {
  try {
    logger[level]({ error: thrown instanceof Error ? thrown : messageOf(thrown) }, message);
  } catch {
    logger[level](`${message}; the thrown value cannot be logged`);
  }
}
