import { join } from 'node:path';
import type { Logger } from '../logger.js';
import { type Unlock, takeLock } from './exclusive-lock.js';
import { type ProcessIdentity, signalProcess, waitForExit } from './process-identity.js';
import { removeState, urlOf } from './server-state.js';

export interface OwnedServerOptions {
  /** The data folder: absolute, symbolic links resolved. */
  readonly dir: string;
  readonly port: number;
  readonly server: ProcessIdentity;
  readonly logger: Logger;
  /** From SIGTERM to SIGKILL, in ms. */
  readonly stopTimeoutMs: number;
}

const KILL_TIMEOUT_MS = 10_000;
const STOP_LOCK_TIMEOUT_MS = 2_000;

/** Held while a folder's server is started, taken over or stopped, so that nobody attaches to one that is going away. */
export function lockServer(dir: string, timeoutMs: number): Promise<Unlock | null> {
  return takeLock(join(dir, 'server.lock'), timeoutMs);
}

/** An embedded redis-server that this process has to stop. */
export class OwnedServer {
  readonly owned = true;
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly #options: OwnedServerOptions;
  #stopping: Promise<void> | null = null;

  constructor(options: OwnedServerOptions) {
    this.#options = options;
    this.port = options.port;
    this.url = urlOf(options.port);
    this.pid = options.server.pid;
  }

  get stopping(): boolean {
    return this.#stopping !== null;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { dir, server, logger, stopTimeoutMs } = this.#options;
    // A stop goes on without the lock: whoever keeps it for so long is stuck, and the server has to go all the same.
    const unlock = await lockServer(dir, STOP_LOCK_TIMEOUT_MS);
    try {
      await signalProcess(server, 'SIGTERM');
      if (!(await waitForExit(server, stopTimeoutMs))) {
        logger.warn({ pid: server.pid, afterMs: stopTimeoutMs }, 'redis-server did not end, killing it');
        await signalProcess(server, 'SIGKILL');
        await waitForExit(server, KILL_TIMEOUT_MS);
      }
      await removeState(dir, server);
      logger.info({ pid: server.pid }, 'redis-server stopped');
    } finally {
      await unlock?.();
    }
  }
}
