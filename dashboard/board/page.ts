import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const PLACE = /<%([=-]) (\w+) %>/g;
/** Bull Board's page asks another origin for its fonts; the browser's own do as well. */
const FOREIGN_LINK = /<link\b[^>]*\bhref="https?:[^>]*>/g;
const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' };

/** Bull Board's one page, its places filled in: `<%= name %>` as text, `<%- name %>` as it is. */
export class BoardPage {
  readonly #template: string;

  /** @param folder of Bull Board's page */
  constructor(folder: string, name: string) {
    this.#template = readFileSync(join(folder, name), 'utf8').replaceAll(FOREIGN_LINK, '');
  }

  render(values: Readonly<Record<string, string>>): string {
    return this.#template.replaceAll(PLACE, (_place, how: string, name: string) => {
      const value = values[name] ?? '';
      return how === '-' ? value : value.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] as string);
    });
  }
}
