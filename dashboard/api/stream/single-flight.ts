/** Does what many ask for at the same time only once. */
export class SingleFlight {
  readonly #under = new Map<string, Promise<unknown>>();

  /** What `work` resolves with; `name` says what it is. */
  async ask<Value>(name: string, work: () => Promise<Value>): Promise<Value> {
    const under = this.#under.get(name) as Promise<Value> | undefined;
    if (under) return under;
    const begun = work();
    this.#under.set(name, begun);
    try {
      return await begun;
    } finally {
      this.#under.delete(name);
    }
  }
}
