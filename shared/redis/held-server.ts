import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import type { Announcement } from './announcement.js';
import { type Unlock, takeLock } from './exclusive-lock.js';
import { type ProcessIdentity, isRunning, signalProcess, waitForExit } from './process-identity.js';
import { readState, removeState, serverOf, urlOf } from './server-state.js';

export interface HeldServerOptions {
  /** The data folder: absolute, symbolic links resolved. */
  readonly dir: string;
  readonly port: number;
  readonly server: ProcessIdentity;
  /** Says that this process uses the server. It has been made. */
  readonly holder: Announcement;
  /** The ids of the other processes that used the server when this one came. */
  readonly sharedWith: readonly number[];
  /** Finds the folder's server, or starts it again on the same port. Called under the folder's lock. Rejects if neither works. */
  readonly serveAgain: (signal: AbortSignal) => Promise<ProcessIdentity>;
  /** Gets the lines that a person should see: that the server ended, that it runs again. */
  readonly say: (line: string) => void;
  readonly logger: Logger;
  /** From SIGTERM to SIGKILL, in ms. */
  readonly stopTimeoutMs: number;
}

const KILL_TIMEOUT_MS = 10_000;
const STOP_LOCK_TIMEOUT_MS = 2_000;
const CHECK_MS = 1_000;
/** Another process of the folder may be starting the server: that takes as long as reading its data does. */
const RESTART_LOCK_TIMEOUT_MS = 120_000;
const RESTART_DELAYS_MS = [0, 500, 1_000, 2_000] as const;

/** Held while a folder's server is started, found or stopped, so that nobody attaches to one that is going away. */
export function lockServer(dir: string, timeoutMs: number): Promise<Unlock | null> {
  return takeLock(join(dir, 'server.lock'), timeoutMs);
}

/**
 * An embedded redis-server that this process uses, alone or with others. Every holder looks after it: should it end, the first
 * to notice starts it again on the same port. The last holder to leave stops it.
 */
export class HeldServer {
  readonly url: string;
  readonly port: number;
  readonly sharedWith: readonly number[];
  /** Resolves with the reason once the server has ended and could not be started again. */
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

  /** Of the server as it is now. */
  get pid(): number {
    return this.#server.pid;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  #check(): Promise<void> {
    this.#checking ??= this.#bringBack().finally(() => {
      this.#checking = null;
    });
    return this.#checking;
  }

  async #bringBack(): Promise<void> {
    if (await isRunning(this.#server)) return;
    const { say, logger, dir } = this.#options;
    const { signal } = this.#leaving;
    if (signal.aborted) return;
    logger.debug({ pid: this.#server.pid, dir }, 'redis-server has ended; its log is redis.log');
    say(`Redis (pid ${this.#server.pid}) ended unexpectedly; starting it again. Its log: ${join(dir, 'redis.log')}`);
    let problem: unknown = null;
    for (const pause of RESTART_DELAYS_MS) {
      await delay(pause, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        this.#server = await this.#serveAgain(signal);
        say(`Redis runs again: pid ${this.#server.pid}.`);
        return;
      } catch (error) {
        problem = error;
        logger.warn({ error }, 'redis-server could not be started again');
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
    // A stop goes on without the lock: a process that keeps it for so long is stuck, and the server has to go all the same.
    const unlock = await lockServer(dir, STOP_LOCK_TIMEOUT_MS);
    try {
      await holder.withdraw();
      const others = (await holder.others()).map(({ pid }) => pid);
      if (others.length > 0) logger.info({ pid: this.pid, others }, 'redis-server goes on, for other processes of its folder');
      else await this.#end();
    } finally {
      await unlock?.();
    }
  }

  async #end(): Promise<void> {
    const { dir, logger, stopTimeoutMs } = this.#options;
    const state = await readState(dir);
    // Another holder may have started it again, and have left since.
    const server = (state && serverOf(state)) ?? this.#server;
    await signalProcess(server, 'SIGTERM');
    if (!(await waitForExit(server, stopTimeoutMs))) {
      logger.warn({ pid: server.pid, afterMs: stopTimeoutMs }, 'redis-server did not end, killing it');
      await signalProcess(server, 'SIGKILL');
      await waitForExit(server, KILL_TIMEOUT_MS);
    }
    await removeState(dir, server);
    logger.info({ pid: server.pid }, 'redis-server stopped');
  }
}
