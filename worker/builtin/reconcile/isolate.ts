import { isUnavailability } from '../../../shared/redis/connection-errors.js';
import { isRefusal } from '../../../shared/redis/reply-errors.js';

/** Returns whether Redis rejected a record for good: its type or content does not suit the command. */
function isBadRecord(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError' && !isUnavailability(error) && !isRefusal(error);
}

/** Most halvings in one run: if every record is bad, most of a page is skipped as a whole. */
const MAX_HALVINGS = 500;

/**
 * Isolates bad records: if Redis rejects work on a batch, the work is repeated for each half, down to the bad record. Parts done before
 * another part failed may be done twice.
 */
export class Isolation {
  readonly #blame: (ids: readonly string[], error: Error) => void;
  #halvings = MAX_HALVINGS;

  /** @param blame called with the skipped records and the error */
  constructor(blame: (ids: readonly string[], error: Error) => void) {
    this.#blame = blame;
  }

  /** Does the work on all good records. Rejects only if Redis is unavailable. */
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

  /** Does work that cannot be divided; a bad record only skips it. */
  async step(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isBadRecord(error)) throw error;
      this.#blame([], error);
    }
  }
}
