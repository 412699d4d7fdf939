import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { FleetError, messageOf } from '../errors.js';
import type { Logger } from '../log/logger.js';
import { type ProcessIdentity, isRunning, signalProcess, waitForExit } from './process-identity.js';
import { type Announcement, type Unlock, readState, removeState, serverOf, takeLock, urlOf } from './server-state.js';

interface HeldServerOptions {
  /** The data folder: absolute, symbolic links resolved. */
  readonly dir: string;
  readonly port: number;
  readonly server: ProcessIdentity;
  /** The announcement that this process uses the server, already made. */
  readonly holder: Announcement;
  /** Pids of other processes that already used the server. */
  readonly sharedWith: readonly number[];
  /**
   * Finds the folder's server, or restarts it on the same port. Called under the folder's lock.
   * @throws ForeignServer, or another error if neither works for now
   */
  readonly serveAgain: (signal: AbortSignal) => Promise<ProcessIdentity>;
  /** Prints a line for the user, about the end or restart of the server. */
  readonly say: (line: string) => void;
  readonly logger: Logger;
  /** From SIGTERM to SIGKILL, in ms. */
  readonly stopTimeoutMs: number;
}

const KILL_TIMEOUT_MS = 10_000;
const STOP_LOCK_TIMEOUT_MS = 2_000;
const CHECK_MS = 1_000;
/** Another process may be starting the server, which takes as long as loading its data. */
const RESTART_LOCK_TIMEOUT_MS = 120_000;
const RESTART_DELAYS_MS = [0, 500, 1_000, 2_000] as const;

/**
 * The end of the attempts to restart a server: another redis-server answers on its port. The clients of the lost server reconnect to
 * that one, and must be ended before they write to it.
 */
export class ForeignServer extends FleetError {}

/** Locks the start, search and stop of a folder's server, so that no process attaches to a server that is stopping. */
export function lockServer(dir: string, timeoutMs: number): Promise<Unlock | null> {
  return takeLock(join(dir, 'server.lock'), timeoutMs);
}

/**
 * An embedded redis-server that this process uses, alone or with others. If the server exits, the first holder to notice
 * restarts it on the same port. The last holder to leave stops it.
 */
export class HeldServer {
  readonly url: string;
  readonly port: number;
  readonly sharedWith: readonly number[];
  /** Resolves with the reason once the server has ended and cannot be restarted. */
  readonly lost: Promise<Error>;
  readonly #options: HeldServerOptions;
  readonly #leaving = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #server: ProcessIdentity;
  #lose: (error: Error) => void = () => undefined;
  #checking: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: HeldServerOptions) {
    this.#options = options;
    this.#server = options.server;
    this.port = options.port;
    this.url = urlOf(options.port);
    this.sharedWith = options.sharedWith;
    this.lost = new Promise((resolve) => (this.#lose = resolve));
    this.#timer = setInterval(() => void this.#check(), CHECK_MS).unref();
  }

  /** The current server's pid. */
  get pid(): number {
    return this.#server.pid;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  #check(): Promise<void> {
    this.#checking ??= this.#restartIfDead().finally(() => {
      this.#checking = null;
    });
    return this.#checking;
  }

  async #restartIfDead(): Promise<void> {
    if (await isRunning(this.#server)) return;
    const { say, logger, dir } = this.#options;
    const { signal } = this.#leaving;
    if (signal.aborted) return;
    logger.debug({ pid: this.#server.pid, dir }, 'Redis-server has exited; see redis.log');
    say(`Redis (pid ${this.#server.pid}) exited unexpectedly; restarting it. Log: ${join(dir, 'redis.log')}`);
    let problem: unknown = null;
    for (const pause of RESTART_DELAYS_MS) {
      await delay(pause, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        this.#server = await this.#serveAgain(signal);
        say(`Redis restarted: pid ${this.#server.pid}.`);
        return;
      } catch (error) {
        problem = error;
        if (error instanceof ForeignServer) break;
        logger.warn({ error }, 'Could not restart redis-server; trying again');
      }
    }
    clearInterval(this.#timer);
    if (!signal.aborted) this.#lose(problem instanceof Error ? problem : new Error(messageOf(problem)));
  }

  async #serveAgain(signal: AbortSignal): Promise<ProcessIdentity> {
    const unlock = await lockServer(this.#options.dir, RESTART_LOCK_TIMEOUT_MS);
    try {
      return await this.#options.serveAgain(signal);
    } finally {
      await unlock?.();
    }
  }

  async #stop(): Promise<void> {
    const { dir, holder, logger } = this.#options;
    this.#leaving.abort();
    clearInterval(this.#timer);
    await this.#checking;
    // Stop even without the lock: a process that has held it for this long is stuck.
    const unlock = await lockServer(dir, STOP_LOCK_TIMEOUT_MS);
    try {
      await holder.withdraw();
      const others = (await holder.others()).map(({ pid }) => pid);
      if (others.length > 0) logger.info({ pid: this.pid, others }, 'Redis-server stays up for other processes');
      else await this.#end();
    } finally {
      await unlock?.();
    }
  }

  async #end(): Promise<void> {
    const { dir, logger, stopTimeoutMs } = this.#options;
    const state = await readState(dir);
    // Another holder may have restarted the server and left since.
    const server = (state && serverOf(state)) ?? this.#server;
    await signalProcess(server, 'SIGTERM');
    if (!(await waitForExit(server, stopTimeoutMs))) {
      logger.warn({ pid: server.pid, afterMs: stopTimeoutMs }, 'Redis-server did not exit after SIGTERM; killing it');
      await signalProcess(server, 'SIGKILL');
      await waitForExit(server, KILL_TIMEOUT_MS);
    }
    await removeState(dir, server);
    logger.info({ pid: server.pid }, 'Redis-server stopped');
  }
}
