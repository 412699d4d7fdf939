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

  start(): Promise<void> {
    if (this.#stopping) return Promise.reject(new Error(`${this.constructor.name} was stopped and cannot start again`));
    this.#starting ??= this.onStart().catch(async (error: unknown) => {
      this.#stopping ??= this.onStop();
      await this.#stopping.catch(() => undefined);
      throw error;
    });
    return this.#starting;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#starting === null ? Promise.resolve() : this.#starting.then(() => this.onStop());
    return this.#stopping;
  }

  get stopping(): boolean {
    return this.#stopping !== null;
  }
}
