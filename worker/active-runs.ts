import { LockLost } from '../shared/stop/cause.js';
import type { Run } from './run.js';

/** What this process is running, and what it has given up and is still waiting for. */
export class ActiveRuns {
  /** By queue, then by id: jobs that plain BullMQ queues number have the same ids on every queue. */
  readonly #runs = new Map<string, Map<string, Run>>();
  readonly #zombies = new Set<Run>();
  #size = 0;
  #onIdle: (() => void) | null = null;

  /** A task that stalled may come back to the same worker: the run that lost it ends. */
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

  /** The runs with this id, on whichever queue. */
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

  /** Resolves true when nothing runs, false after `timeoutMs`. For one who waits at a time. */
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
