/** The time that an aborted handler has left. The shortest of several limits holds; when it is over, `onOver` is called once. */
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

  /** The handler ended by itself. */
  cancel(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }
}
