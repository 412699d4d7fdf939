// oxlint-disable-next-line no-restricted-imports -- a queue of the event loop; no configuration
import { nextTick } from 'node:process';

/** In ms. Calls that follow the work sooner come from timers and sockets of the same turn: a reply of Redis takes longer. */
const BURST_MS = 0.05;

/**
 * Runs work once for all requests of a turn of the event loop. After a pause it runs as soon as the promises of the first request are
 * done, because a lone caller would only wait. In a burst, when one timer or socket after the other asks for it, it waits for the last
 * one of them.
 */
export class TurnEnd {
  #due = false;
  #ranAt = -Infinity;

  /** @param work must not throw */
  constructor(private readonly work: () => void) {}

  request(): void {
    if (this.#due) return;
    this.#due = true;
    if (performance.now() - this.#ranAt < BURST_MS) setImmediate(this.#run);
    else nextTick(this.#run);
  }

  readonly #run = (): void => {
    this.#due = false;
    this.work();
    this.#ranAt = performance.now();
  };
}
