type Attribute = string | number | boolean | ((event: Event) => void);
type Child = Node | string | null;

/**
 * A new element. A function among the attributes listens to the event of its name; true is an attribute without a value,
 * false none. Text becomes text, never markup.
 */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(key, value);
    else if (value !== false) made.setAttribute(key, value === true ? '' : String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** The element of the page with this id. @throws if it is not there, or something else */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`The page has no ${kind.name} with the id ${id}.`);
}

/** Touches the page only if there is something to change: what stays the same is not painted again. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/** A moment, as this machine writes it, with the whole of it for those who point at it. */
export function moment(iso: string | null): HTMLElement {
  if (iso === null) return element('span', {}, '–');
  const date = new Date(iso);
  return element('time', { datetime: iso, title: iso }, `${date.toLocaleDateString()} ${date.toLocaleTimeString()}`);
}

/** Shows a message of an error, or takes it away. */
export function showProblem(place: HTMLElement, error: unknown): void {
  place.hidden = error === null;
  setText(place, error === null ? '' : error instanceof Error ? error.message : 'Something went wrong.');
}
