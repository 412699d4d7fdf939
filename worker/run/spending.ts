import type { LimitStep } from '../../shared/limiter/marks.js';

interface SpendingOptions {
  /** The rates that the attempt has paid its estimated cost to. */
  readonly rates: readonly LimitStep[];
  /** Takes more tokens from the bucket of a rate, or gives some back if the number is negative. */
  readonly correct: (rate: LimitStep, tokens: number) => Promise<void>;
  /** Called with the first failed correction. */
  readonly onError: (error: unknown) => void;
}

/**
 * The real cost of one attempt. Each rate gets the difference to what it has counted so far, at first the estimate. While corrections are
 * on their way, a newer cost replaces one that was not sent yet.
 */
export class Spending {
  /** The cost that each rate has counted. */
  readonly #counted: Map<LimitStep, number>;
  #cost: number | null = null;
  #sending = 0;
  #errorReported = false;

  constructor(private readonly options: SpendingOptions) {
    this.#counted = new Map(options.rates.map((rate) => [rate, rate.cost ?? 0]));
  }

  spend(cost: number): void {
    this.#cost = cost;
    if (this.#sending === 0) this.#send();
  }

  /** Sends the last cost at once. */
  close(): void {
    this.#send();
  }

  #send(): void {
    const cost = this.#cost;
    if (cost === null) return;
    for (const [rate, counted] of this.#counted) {
      if (counted === cost) continue;
      // Also if the correction fails: Redis may have applied it, and a repetition would count it twice.
      this.#counted.set(rate, cost);
      this.#sending += 1;
      void this.#correct(rate, cost - counted);
    }
  }

  async #correct(rate: LimitStep, tokens: number): Promise<void> {
    try {
      await this.options.correct(rate, tokens);
    } catch (error) {
      if (!this.#errorReported) this.options.onError(error);
      this.#errorReported = true;
    } finally {
      this.#sending -= 1;
      if (this.#sending === 0) this.#send();
    }
  }
}
