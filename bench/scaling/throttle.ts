import { setTimeout as delay } from 'node:timers/promises';

const RUN_MS = 1;

/**
 * Lets processes run for a share of the time, by SIGSTOP and SIGCONT every few milliseconds: a redis-server on a slower core, so that
 * workers on the same small machine can saturate it.
 */
export class Throttle {
  readonly #stopped = new AbortController();
  readonly #done: Promise<void>;
  #ranMs = 0;
  #since = performance.now();

  constructor(
    private readonly pids: readonly number[],
    private readonly share: number,
  ) {
    this.#done = share < 1 ? this.#throttle(RUN_MS / share - RUN_MS) : Promise.resolve();
  }

  /** Starts to count the time anew. */
  reset(): void {
    this.#ranMs = 0;
    this.#since = performance.now();
  }

  /** Returns the share of the time during which the processes were let run, since the last reset. */
  get allowed(): number {
    return this.share < 1 ? this.#ranMs / (performance.now() - this.#since) : 1;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#done;
  }

  async #throttle(pauseMs: number): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const from = performance.now();
      await delay(RUN_MS);
      this.#ranMs += performance.now() - from;
      this.#signal('SIGSTOP');
      await delay(pauseMs);
      this.#signal('SIGCONT');
    }
  }

  #signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    for (const pid of this.pids) process.kill(pid, signal);
  }
}
