import type { TextKind } from '../registry/find-index.js';
import type { CheckedFilter, TextMatch } from '../task/filter/filter.js';

/** Two members of an index of texts, in the notation of Redis' lexical ranges. */
export interface TextRange {
  readonly first: string;
  readonly last: Buffer;
}

/** Above every byte of UTF-8. */
const ABOVE = Buffer.from([0xff]);
const NUL = '\0';
const AFTER_NUL = Buffer.from([1]);

/** Returns the range of the entries whose text equals, or starts with, a text. */
export function rangeOf(kind: TextKind, { text, prefix }: TextMatch): TextRange {
  return {
    first: `[${kind}${text}${prefix ? '' : NUL}`,
    last: Buffer.concat([Buffer.from(`(${kind}${text}`), prefix ? ABOVE : AFTER_NUL]),
  };
}

/** Returns the range of an index of items that equal, or start with, a text. */
export function rangeOfItems({ text, prefix }: TextMatch): TextRange {
  const last = Buffer.from(`${prefix ? '(' : '['}${text}`);
  return { first: `[${text}`, last: prefix ? Buffer.concat([last, ABOVE]) : last };
}

/** Returns the items that a filter may select; null if it may select tasks without an item. */
export function itemsOf({ item, visibleItems }: CheckedFilter): TextMatch[] | null {
  if (item !== null) return [item];
  if (visibleItems === null) return null;
  const starts = visibleItems.map((pattern): TextMatch => {
    const star = pattern.indexOf('*');
    return star === -1 ? { text: pattern, prefix: false } : { text: pattern.slice(0, star), prefix: true };
  });
  // A range within another one would find its tasks twice.
  const isWithin = (one: TextMatch, index: number): boolean =>
    starts.some(
      (other, place) =>
        other.prefix && one.text.startsWith(other.text) && (other.text !== one.text || !one.prefix || place < index) && place !== index,
    );
  return starts.filter((one, index) => !isWithin(one, index));
}
