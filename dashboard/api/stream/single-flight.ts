/** Runs work requested by concurrent callers once. */
export class SingleFlight {
  readonly #pending = new Map<string, Promise<unknown>>();

  /** Resolves with the result of `work`; concurrent calls with the same name share it. */
  async ask<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    const pending = this.#pending.get(name) as Promise<Value> | undefined;
    if (pending) return pending;
    const started = work();
    this.#pending.set(name, started);
    try {
      return await started;
    } finally {
      this.#pending.delete(name);
    }
  }
}
