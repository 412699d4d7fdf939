import { readFileSync } from 'node:fs';

/**
 * Returns the text of a Lua file of this folder, named without its extension. For sources only: in dist/, the build replaces this module
 * by one that contains the texts.
 */
export function scriptText(file: string): string {
  return readFileSync(new URL(`./${file}.lua`, import.meta.url), 'utf8');
}
