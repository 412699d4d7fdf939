import { FleetError } from '../errors.js';

/**
 * Base class of long-lived services. `start` and `stop` may be called any number of times, in any order and concurrently: each
 * does its work once, and all callers wait for it. A failed start is undone before its error is thrown. A stopped service
 * cannot start again.
 */
export abstract class Service {
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;

  /** Starts the service. If it throws, `onStop` releases the resources opened so far. */
  protected abstract onStart(): Promise<void>;
  /** Releases all resources; also called after a failed start. */
  protected abstract onStop(): Promise<void>;

  /** @throws FleetError `CLOSED` if it was stopped */
  start(): Promise<void> {
    if (this.#stopping) return Promise.reject(new FleetError('CLOSED', `${this.constructor.name} was stopped and cannot start again`));
    this.#starting ??= this.#start();
    return this.#starting;
  }

  stop(): Promise<void> {
    // A failed start undoes itself, so a concurrent stop only waits for that.
    this.#stopping ??=
      this.#starting === null
        ? Promise.resolve()
        : this.#starting.then(
            () => this.onStop(),
            () => undefined,
          );
    return this.#stopping;
  }

  async #start(): Promise<void> {
    try {
      await this.onStart();
    } catch (error) {
      const undone = this.#undo();
      this.#stopping ??= undone;
      await undone;
      throw error;
    }
  }

  /** Never rejects: the start's error is the one to throw. */
  async #undo(): Promise<void> {
    try {
      await this.onStop();
    } catch {
      // Nothing uses the unreleased resources any more.
    }
  }

  get stopping(): boolean {
    return this.#stopping !== null;
  }
}
