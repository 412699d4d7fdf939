import { Worker } from 'node:worker_threads';
import type { Logger } from '../../shared/log/logger.js';
import { packageFile } from '../../shared/package/package-file.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';

/** Checks per time limit. The event loop beats twice as often. */
export const CHECKS = 10;

/** What the watchdog's thread gets. */
export interface WatchdogData {
  /** Counts the turns of the watched event loop. */
  readonly beats: Int32Array;
  readonly limitMs: number;
  /** Id of the worker. */
  readonly worker: string;
  /** The Redis with the worker's record; null for none. */
  readonly settings: ConnectedSettings | null;
}

interface WatchdogOptions extends Omit<WatchdogData, 'beats' | 'settings'> {
  readonly settings?: ConnectedSettings;
  readonly logger: Logger;
}

/**
 * Watches the event loop of this process from a thread. If the loop hangs for longer than `limitMs`, in an endless loop or a computation,
 * the thread logs that, writes it into the worker's record, and kills the process: no other timer, and no signal, would end it. Keeps no process alive.
 */
export class Watchdog {
  readonly #thread: Worker;
  readonly #beat: NodeJS.Timeout;

  constructor({ limitMs, worker, settings, logger }: WatchdogOptions) {
    const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    this.#beat = setInterval(() => Atomics.add(beats, 0, 1), limitMs / CHECKS / 2);
    this.#beat.unref();
    this.#thread = new Worker(packageFile('worker/watchdog/main'), {
      workerData: { beats, limitMs, worker, settings: settings ?? null } satisfies WatchdogData,
    });
    // Without a listener, the error of a thread ends the process.
    this.#thread.on('error', (error) => logger.error({ error }, 'The watchdog failed; a worker whose event loop hangs is not ended'));
    this.#thread.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#beat);
    await this.#thread.terminate();
  }
}
