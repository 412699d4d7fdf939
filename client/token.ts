/** The token of a client: a value, or one that a function returns and renews. */
export class TokenSource {
  #current: Promise<string> | null = null;

  constructor(private readonly given: string | (() => string | Promise<string>) | undefined) {}

  /** Returns the token, or null for none. Concurrent requests share one call of the function. */
  async read(): Promise<string | null> {
    const { given } = this;
    if (typeof given !== 'function') return given ?? null;
    this.#current ??= (async () => given())();
    return this.#current.catch((error: unknown) => {
      this.#current = null;
      throw error;
    });
  }

  /** Returns the token to use instead of one that the API refused; the same if there is no other. */
  async replace(refused: string | null): Promise<string | null> {
    const current = this.#current;
    // Another request may have renewed it meanwhile.
    if ((await current) === refused && this.#current === current) this.#current = null;
    return this.read();
  }
}
