import { quote } from './keys.js';

/** A name further away than this share of its length is another name. */
const LONGEST_SHARE = 0.4;
/** Names that differ in a part, such as their prefix, and names too long to compare. */
const MIN_PREFIX = 3;
const MAX_LENGTH = 256;

/** Returns the known name that a mistyped one most likely stands for; null if none is similar, or if the name itself is known. */
export function similarTo(name: string, known: Iterable<string>): string | null {
  let best: { readonly name: string; readonly distance: number } | null = null;
  const typed = name.toLowerCase();
  for (const candidate of known) {
    if (candidate === name) return null;
    if (candidate.length > MAX_LENGTH || name.length > MAX_LENGTH) continue;
    const distance = distanceOf(typed, candidate.toLowerCase());
    if (distance <= limitFor(typed, candidate) && (best === null || distance < best.distance)) best = { name: candidate, distance };
  }
  return best?.name ?? null;
}

/** ` Did you mean "fleet.canary"?`, or nothing, for an error about an unknown name. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const similar = similarTo(name, known);
  return similar === null ? '' : ` Did you mean ${quote(similar)}?`;
}

/** A name that was typed only in part is similar too: `canary` for `fleet.canary`. */
function limitFor(typed: string, candidate: string): number {
  const part = typed.length >= MIN_PREFIX && candidate.toLowerCase().includes(typed);
  return part ? candidate.length : Math.floor(LONGEST_SHARE * Math.min(typed.length, candidate.length));
}

/** Returns the number of inserted, removed, replaced and swapped characters (Damerau and Levenshtein, optimal string alignment). */
function distanceOf(a: string, b: string): number {
  let older: number[] = [];
  let old = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const next = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = (old[column - 1] as number) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1] ? (older[column - 2] ?? Infinity) + 1 : Infinity;
      next.push(Math.min(replaced, swapped, (old[column] as number) + 1, (next[column - 1] as number) + 1));
    }
    older = old;
    old = next;
  }
  return old[b.length] as number;
}
