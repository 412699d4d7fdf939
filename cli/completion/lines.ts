import type { Io } from '../io.js';
import { oneLine } from '../text/output.js';
import { namesOf } from './names.js';
import type { Completion } from './words.js';

/** Returns the lines for a shell: each candidate for the word, and its description after a tab. */
export async function linesOf(io: Io, { candidates, names, kept, typed, globals }: Completion): Promise<string[]> {
  const asked = names === null ? [] : await namesOf(io, globals, names, typed);
  const all = [...candidates, ...asked.toSorted().map((value) => ({ value, about: '' }))];
  return all
    .filter(({ value }) => value.startsWith(typed) && oneLine(value) === value)
    .map(({ value, about }) => kept + value + (about === '' ? '' : `\t${oneLine(about)}`));
}
