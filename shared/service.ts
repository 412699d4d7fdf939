import { FleetError } from './errors.js';

/**
 * The one shape of everything that lives long. `start` and `stop` may be called any number of times, in any order and at
 * once: work is done once, everyone waits for the same end. A start that fails is undone before its error is thrown. A
 * stopped service does not start again.
 */
export abstract class Service {
  #starting: Promise<void> | null = null;
  #stopping: Promise<void> | null = null;

  /** Takes up the work. Whatever it opened before it threw is released by `onStop`. */
  protected abstract onStart(): Promise<void>;
  /** Releases everything; also called after a start that failed half way. */
  protected abstract onStop(): Promise<void>;

  /** @throws FleetError `CLOSED` if it was stopped */
  start(): Promise<void> {
    if (this.#stopping) return Promise.reject(new FleetError('CLOSED', `${this.constructor.name} was stopped and cannot start again`));
    this.#starting ??= this.#start();
    return this.#starting;
  }

  stop(): Promise<void> {
    // A start that fails undoes itself, so a stop that came meanwhile only waits for that.
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

  /** Never rejects: the error of the start is the one to tell. */
  async #undo(): Promise<void> {
    try {
      await this.onStop();
    } catch {
      // What could not be released is no longer used by anything.
    }
  }

  get stopping(): boolean {
    return this.#stopping !== null;
  }
}
