import { setAttribute } from '../dom.js';

interface Tab {
  readonly button: HTMLElement;
  readonly panel: HTMLElement;
}

/** The tabs of a page, by the names of their panels: `<name>-tab` and `<name>-panel`. The chosen one is in the URL's fragment. */
export class Tabs {
  readonly #tabs = new Map<string, Tab>();
  #selected = '';
  #chosen = false;

  /** @param onSelect called with the name of each tab that is shown */
  constructor(
    list: HTMLElement,
    private readonly onSelect: (name: string) => void,
  ) {
    for (const button of list.querySelectorAll<HTMLElement>('[role="tab"]')) {
      const panel = document.getElementById(button.getAttribute('aria-controls') ?? '');
      if (!panel) throw new Error(`The tab ${button.id} has no panel.`);
      const name = button.id.replace(/-tab$/, '');
      this.#tabs.set(name, { button, panel });
      button.addEventListener('click', () => this.#choose(name));
      button.addEventListener('keydown', (event) => this.#onKey(event));
    }
    const wanted = location.hash.slice(1);
    if (this.#tabs.get(wanted)?.button.hidden === false) this.#choose(wanted);
  }

  /** Whether a tab is shown. */
  get selected(): boolean {
    return this.#selected !== '';
  }

  /** Shows a tab, unless the user has chosen one. */
  suggest(name: string): void {
    if (!this.#chosen) this.#show(name);
  }

  #choose(name: string): void {
    this.#chosen = true;
    history.replaceState(null, '', `#${name}`);
    this.#show(name);
  }

  #show(name: string): void {
    if (name === this.#selected) return;
    this.#selected = name;
    for (const [other, { button, panel }] of this.#tabs) {
      setAttribute(button, 'aria-selected', String(other === name));
      button.tabIndex = other === name ? 0 : -1;
      panel.hidden = other !== name;
    }
    this.onSelect(name);
  }

  #onKey(event: KeyboardEvent): void {
    const names = [...this.#tabs].filter(([, { button }]) => !button.hidden).map(([name]) => name);
    const at = names.indexOf(this.#selected);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = names[(to + names.length) % names.length] as string;
    this.#choose(name);
    this.#tabs.get(name)?.button.focus();
  }
}
