import { ROOT, taskPath } from '../api.js';
import { element, setAttribute, setText } from '../dom.js';

/** Returns the URL of a page for a link of the API, which begins with a slash and is relative to the mount point. */
export function pageUrl(link: string): string {
  return new URL(`.${link}`, ROOT).href;
}

/** Returns the URL of the task list with a filter. */
export function tasksUrl(filter: Readonly<Record<string, string>>): string {
  return pageUrl(`/tasks?${new URLSearchParams(filter)}`);
}

export function taskUrl(id: string): string {
  return pageUrl(`/${taskPath(id)}`);
}

/** Writes a link, which is plain text without a URL. The element stays, and with it the focus. */
export function setLink(link: HTMLAnchorElement, text: string, href: string | null): void {
  setText(link, text);
  setAttribute(link, 'href', href);
}

/** Returns the children of a cell or item, which `create` makes when it is shown for the first time. */
export function partsOf<Parts extends readonly HTMLElement[]>(place: HTMLElement, create: () => Parts): Parts {
  if (place.childElementCount === 0) place.append(...create());
  return [...place.children] as unknown as Parts;
}

/** Writes a count that leads to the tasks it counts; 0 leads nowhere. */
export function showCount(cell: HTMLElement, count: number, filter: Readonly<Record<string, string>>): void {
  const [link] = partsOf(cell, () => [element('a')] as const);
  setLink(link, count.toLocaleString('en'), count === 0 ? null : tasksUrl(filter));
}
