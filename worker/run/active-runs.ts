import { LockLost } from '../../shared/stop/cause.js';
import type { Run } from './run.js';

/** The runs of this process, and the abandoned handlers that have not returned yet. */
export class ActiveRuns {
  /** By queue, then by id: plain BullMQ queues number their jobs, so ids repeat across queues. */
  readonly #runs = new Map<string, Map<string, Run>>();
  readonly #zombies = new Set<Run>();
  #size = 0;
  #onIdle: (() => void) | null = null;

  /** Adds a run. A stalled task may come back to the same worker: the run that lost its lock is aborted. */
  track(run: Run): void {
    let ofQueue = this.#runs.get(run.queue);
    if (!ofQueue) this.#runs.set(run.queue, (ofQueue = new Map()));
    const loser = ofQueue.get(run.id);
    if (!loser) this.#size += 1;
    ofQueue.set(run.id, run);
    loser?.abort(new LockLost());
  }

  untrack(run: Run): void {
    const ofQueue = this.#runs.get(run.queue);
    if (ofQueue?.get(run.id) !== run) return;
    ofQueue.delete(run.id);
    this.#size -= 1;
    if (this.#size === 0) this.#onIdle?.();
  }

  get(queue: string, id: string): Run | undefined {
    return this.#runs.get(queue)?.get(id);
  }

  /** Returns the runs with this id, on any queue. */
  find(id: string): Run[] {
    const found: Run[] = [];
    for (const ofQueue of this.#runs.values()) {
      const run = ofQueue.get(id);
      if (run) found.push(run);
    }
    return found;
  }

  all(): Run[] {
    return [...this.#runs.values()].flatMap((ofQueue) => [...ofQueue.values()]);
  }

  get size(): number {
    return this.#size;
  }

  /** The number of abandoned handlers that have not returned. They hold no slot and no lock. */
  get zombies(): number {
    return this.#zombies.size;
  }

  /** Counts an abandoned handler until it returns. */
  addZombie(run: Run, handler: Promise<unknown>, onReturn: () => void): void {
    this.#zombies.add(run);
    const end = (): void => {
      this.#zombies.delete(run);
      onReturn();
    };
    handler.then(end, end);
  }

  /** Resolves with true when no task is running, or with false after `timeoutMs`. Supports one waiting caller. */
  idle(timeoutMs: number): Promise<boolean> {
    if (this.#size === 0) return Promise.resolve(true);
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
