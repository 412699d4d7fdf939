/** The time that an aborted handler has left. The shortest of several limits applies; `onOver` is called once, at its end. */
export class Grace {
  readonly #onOver: () => void;
  #endsAt = Infinity;
  #timer: NodeJS.Timeout | null = null;

  constructor(onOver: () => void) {
    this.#onOver = onOver;
  }

  limit(ms: number): void {
    const endsAt = performance.now() + ms;
    if (endsAt >= this.#endsAt) return;
    this.#endsAt = endsAt;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onOver, ms);
  }

  /** Stops the timer, for a handler that has ended. */
  cancel(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }
}
