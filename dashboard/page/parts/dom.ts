type Attribute = string | number | boolean | ((event: Event) => void);
type Child = Node | string | null;

/**
 * Creates an element. A function attribute becomes a listener for the event of that name; true becomes an attribute without a value,
 * and false is left out. Text is inserted as text, never as markup.
 */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') created.addEventListener(key, value);
    else if (value !== false) created.setAttribute(key, value === true ? '' : String(value));
  }
  created.append(...children.filter((child) => child !== null));
  return created;
}

/** Returns the page's element with this id. @throws if it is missing or of another kind */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`The page has no ${kind.name} with the id ${id}.`);
}

/** Sets the text if it differs, to avoid repaints. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/**
 * Renders a cell anew if what it shows has changed, so that a focused link keeps the focus.
 * @param values what the content depends on
 */
export function renderOnce(cell: HTMLElement, values: unknown, content: () => readonly Child[]): void {
  const key = JSON.stringify(values);
  if (cell.dataset['shown'] === key) return;
  cell.dataset['shown'] = key;
  cell.replaceChildren(...content().filter((child) => child !== null));
}
