import { LockLost } from '../shared/stop/cause.js';
import type { Run } from './run.js';

/** What this process is running, and what it has given up and is still waiting for. */
export class ActiveRuns {
  readonly #runs = new Map<string, Run>();
  readonly #zombies = new Set<Run>();
  #onIdle: (() => void) | null = null;

  /** A task that stalled may come back to the same worker: the run that lost it ends. */
  track(run: Run): void {
    this.#runs.get(run.id)?.abort(new LockLost());
    this.#runs.set(run.id, run);
  }

  untrack(run: Run): void {
    if (this.#runs.get(run.id) === run) this.#runs.delete(run.id);
    if (this.#runs.size === 0) this.#onIdle?.();
  }

  get(id: string): Run | undefined {
    return this.#runs.get(id);
  }

  all(): Run[] {
    return [...this.#runs.values()];
  }

  ids(): string[] {
    return [...this.#runs.keys()];
  }

  get size(): number {
    return this.#runs.size;
  }

  /** Handlers that were given up and have not returned. They hold no slot and no lock. */
  get zombies(): number {
    return this.#zombies.size;
  }

  /** Counts a given-up handler until it returns. */
  addZombie(run: Run, handler: Promise<unknown>, onReturn: () => void): void {
    this.#zombies.add(run);
    const end = (): void => {
      this.#zombies.delete(run);
      onReturn();
    };
    handler.then(end, end);
  }

  /** Resolves true when nothing runs, false after `timeoutMs`. */
  idle(timeoutMs: number): Promise<boolean> {
    if (this.#runs.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (idle: boolean): void => {
        clearTimeout(timer);
        this.#onIdle = null;
        resolve(idle);
      };
      const timer = setTimeout(() => finish(false), timeoutMs);
      this.#onIdle = () => finish(true);
    });
  }
}
