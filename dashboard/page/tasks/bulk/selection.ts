/** The tasks that the user has chosen: single ones, or all that match the filter. */
export class Selection {
  readonly #ids = new Set<string>();
  #all = false;

  /** @param onChange called after each change */
  constructor(private readonly onChange: () => void) {}

  /** The chosen ids; of no meaning while all are chosen. */
  get ids(): readonly string[] {
    return [...this.#ids];
  }

  /** Whether all tasks that match are chosen, also those of other pages. */
  get all(): boolean {
    return this.#all;
  }

  get empty(): boolean {
    return !this.#all && this.#ids.size === 0;
  }

  has(id: string): boolean {
    return this.#all || this.#ids.has(id);
  }

  /** Chooses a task, or no longer; of all tasks, only those of the page are chosen then. */
  toggle(id: string, page: readonly string[]): void {
    if (this.#all) {
      this.#all = false;
      for (const each of page) this.#ids.add(each);
    }
    if (!this.#ids.delete(id)) this.#ids.add(id);
    this.onChange();
  }

  /** Chooses every task of a page, or none of them. */
  togglePage(page: readonly string[]): void {
    const every = page.every((id) => this.has(id));
    this.#all = false;
    for (const id of page)
      if (every) this.#ids.delete(id);
      else this.#ids.add(id);
    this.onChange();
  }

  /** Chooses all tasks between two of a page, and both of them. */
  addRange(from: string, to: string, page: readonly string[]): void {
    const [start, end] = [page.indexOf(from), page.indexOf(to)].toSorted((a, b) => a - b) as [number, number];
    for (const id of page.slice(Math.max(0, start), end + 1)) this.#ids.add(id);
    this.onChange();
  }

  chooseAll(): void {
    this.#all = true;
    this.onChange();
  }

  clear(): void {
    if (this.empty) return;
    this.#all = false;
    this.#ids.clear();
    this.onChange();
  }
}
