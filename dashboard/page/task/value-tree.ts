import { element } from '../parts/dom.js';

/** Entries of a list or object that are shown at once. */
const ENTRIES_AT_ONCE = 100;
/** Characters of a string that are shown at once. */
const MAX_TEXT = 400;
/** Lists and objects with more entries are closed at first, and so is everything below the second level. */
const MAX_OPEN_ENTRIES = 20;
const OPEN_LEVELS = 2;

/** Creates a tree of a JSON value. What is closed is made when it is opened, so a big value is no slower than a small one. */
export function valueTree(value: unknown): HTMLElement {
  return element('div', { class: 'tree' }, nodeOf(value, null, 0));
}

/** Describes the size of a list or object: `3 entries`. */
export function sizeText(value: object): string {
  const size = Array.isArray(value) ? value.length : Object.keys(value).length;
  const noun = Array.isArray(value) ? ['element', 'elements'] : ['field', 'fields'];
  return `${size.toLocaleString('en')} ${noun[size === 1 ? 0 : 1]}`;
}

function nodeOf(value: unknown, name: string | null, level: number): HTMLElement {
  const label = name === null ? [] : [element('span', { class: 'key' }, name), ': '];
  if (typeof value !== 'object' || value === null) return element('div', { class: 'leaf' }, ...label, leafOf(value));
  const entries: readonly (readonly [string, unknown])[] = Array.isArray(value)
    ? value.map((each, index) => [String(index), each] as const)
    : Object.entries(value);
  const brackets = Array.isArray(value) ? '[ ]' : '{ }';
  if (entries.length === 0) return element('div', { class: 'leaf' }, ...label, element('span', { class: 'soft' }, brackets));
  const branch = element(
    'details',
    {},
    element('summary', {}, ...label, element('span', { class: 'soft' }, `${brackets.charAt(0)} ${sizeText(value)} ${brackets.charAt(2)}`)),
  );
  const fill = (): void => {
    if (branch.childElementCount === 1) addEntries(branch, entries, level);
  };
  branch.addEventListener('toggle', () => branch.open && fill());
  if (level === 0 || (level < OPEN_LEVELS && entries.length <= MAX_OPEN_ENTRIES)) {
    fill();
    branch.open = true;
  }
  return branch;
}

function addEntries(branch: HTMLElement, entries: readonly (readonly [string, unknown])[], level: number): void {
  branch.append(...entries.slice(0, ENTRIES_AT_ONCE).map(([name, value]) => nodeOf(value, name, level + 1)));
  const rest = entries.slice(ENTRIES_AT_ONCE);
  if (rest.length === 0) return;
  const more = element(
    'button',
    {
      ...{ type: 'button', class: 'link leaf' },
      click: () => {
        more.remove();
        addEntries(branch, rest, level);
      },
    },
    `Show ${Math.min(rest.length, ENTRIES_AT_ONCE)} more of ${rest.length.toLocaleString('en')}`,
  );
  branch.append(more);
}

function leafOf(value: unknown): HTMLElement {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
  const kind = value === null || value === undefined ? 'null' : typeof value;
  const shown = element('span', { class: 'value', 'data-kind': kind }, text.slice(0, MAX_TEXT));
  if (text.length <= MAX_TEXT) return shown;
  const more = element(
    'button',
    {
      ...{ type: 'button', class: 'link' },
      click: () => {
        shown.textContent = text;
        more.remove();
      },
    },
    `… show all ${text.length.toLocaleString('en')} characters`,
  );
  return element('span', {}, shown, ' ', more);
}
