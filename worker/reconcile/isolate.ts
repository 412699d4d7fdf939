import { isUnavailability } from '../../shared/redis/connection-errors.js';
import { isRefusal } from '../../shared/redis/refusals.js';

/** True for what Redis answers for good: a record of a type or with a content that a command does not take. */
function isBadRecord(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError' && !isUnavailability(error) && !isRefusal(error);
}

/** Halvings that one run makes: with every record bad, most of a page is left out as a whole. */
const MOST_HALVINGS = 500;

/**
 * Keeps a bad record from failing the work on others: work that Redis does not take for all of them is done for each half, down
 * to the record that is to blame. The work may be done twice, for a part that was done before another failed.
 */
export class Isolation {
  readonly #blame: (ids: readonly string[], error: Error) => void;
  #halvings = MOST_HALVINGS;

  /** `blame` is told of records that were left out, and why. */
  constructor(blame: (ids: readonly string[], error: Error) => void) {
    this.#blame = blame;
  }

  /** Rejects only with what the work rejects with if Redis is away. */
  async each(ids: readonly string[], work: (ids: readonly string[]) => Promise<void>): Promise<void> {
    if (ids.length === 0) return;
    try {
      await work(ids);
    } catch (error) {
      if (!isBadRecord(error)) throw error;
      if (ids.length === 1 || this.#halvings === 0) return this.#blame(ids, error);
      this.#halvings -= 1;
      const middle = Math.ceil(ids.length / 2);
      await this.each(ids.slice(0, middle), work);
      await this.each(ids.slice(middle), work);
    }
  }

  /** The same for work on what cannot be divided: without it the rest goes on. */
  async step(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isBadRecord(error)) throw error;
      this.#blame([], error);
    }
  }
}
