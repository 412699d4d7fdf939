import { chunks } from '../limits.js';

interface Pending<Value, Result> {
  readonly value: Value;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** Collects calls, and makes one call for all of them. Results are in the order of the values. */
export class Batch<Value, Result> {
  #pending: Pending<Value, Result>[] = [];
  readonly #open = new Set<Promise<void>>();

  /** @param defer calls back at the end of the collection, as `setImmediate` and `queueMicrotask` do */
  constructor(
    private readonly defer: (work: () => void) => unknown,
    private readonly size: number,
    private readonly call: (values: readonly Value[]) => Promise<readonly Result[]>,
  ) {}

  add(value: Value): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#pending.push({ value, resolve, reject }) === 1) this.defer(() => this.#send());
    });
  }

  /** Waits until every call so far is answered. */
  async idle(): Promise<void> {
    if (this.#pending.length > 0) this.#send();
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  #send(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const some of chunks(pending, this.size)) {
      const answering = this.#answer(some).then(() => void this.#open.delete(answering));
      this.#open.add(answering);
    }
  }

  async #answer(pending: readonly Pending<Value, Result>[]): Promise<void> {
    try {
      const results = await this.call(pending.map(({ value }) => value));
      pending.forEach(({ resolve }, index) => resolve(results[index] as Result));
    } catch (error) {
      for (const { reject } of pending) reject(error);
    }
  }
}
