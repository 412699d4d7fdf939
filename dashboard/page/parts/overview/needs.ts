import type { Overview } from '../api-types.js';
import { element, setAttribute, setText } from '../dom.js';
import { pageUrl, partsOf, setLink } from './link.js';

type Attention = Pick<Overview['attention'][number], 'level' | 'text' | 'link'>;

const LEVELS = {
  critical: { level: 'bad', label: '✕ Critical:' },
  warning: { level: 'fair', label: '▲ Warning:' },
} as const;

/** The list of what needs attention, the most severe first. */
export class Needs {
  constructor(private readonly list: HTMLElement) {}

  show(attention: readonly Attention[]): void {
    if (attention.length === 0)
      return this.list.replaceChildren(element('li', { 'data-level': 'good', 'data-none': true }, '✓ Nothing needs attention.'));
    const items = [...this.list.children].filter((item) => item.hasAttribute('data-kept')) as HTMLElement[];
    while (items.length < attention.length) items.push(element('li', { 'data-kept': true }));
    attention.forEach((one, index) => showItem(items[index] as HTMLElement, one));
    // Items that stay in place keep the focus.
    const shown = items.slice(0, attention.length);
    if (shown.some((item, index) => this.list.children[index] !== item) || this.list.childElementCount !== shown.length)
      this.list.replaceChildren(...shown);
  }
}

function showItem(item: HTMLElement, { level, text, link }: Attention): void {
  const [mark, anchor] = partsOf(item, () => [element('span', { class: 'level' }), element('a')] as const);
  setAttribute(item, 'data-level', LEVELS[level].level);
  setText(mark, LEVELS[level].label);
  setLink(anchor, text, link === null ? null : pageUrl(link));
}
