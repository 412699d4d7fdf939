import { printable } from './output.js';

const UNITS = [
  { letter: 'd', ms: 86_400_000 },
  { letter: 'h', ms: 3_600_000 },
  { letter: 'm', ms: 60_000 },
  { letter: 's', ms: 1_000 },
] as const;

/** Formats an interval in the largest unit that divides it: `90s`, `5m`, `1h`. Null if it is not a whole number of seconds. */
export function wholeUnits(ms: number): string | null {
  const unit = UNITS.find((candidate) => ms % candidate.ms === 0);
  return unit ? `${ms / unit.ms}${unit.letter}` : null;
}

/** Tolerance for clock skew: a time further ahead than this lies in the future. */
const FUTURE_MS = 2_000;

/** Formats an age in its largest whole unit: `0s`, `45s`, `12m`, `3h`, `5d`; a time in the future as `in 59m (clock?)`. */
export function formatAge(ms: number): string {
  if (ms < -FUTURE_MS) return `in ${formatAge(-ms)} (clock?)`;
  const unit = UNITS.find((candidate) => ms >= candidate.ms);
  return unit ? `${Math.floor(ms / unit.ms)}${unit.letter}` : '0s';
}

/** Formats an age for a sentence: `12m ago`, or `in 59m (clock?)`. */
export function formatAgo(ms: number): string {
  return ms < -FUTURE_MS ? formatAge(ms) : `${formatAge(ms)} ago`;
}

interface Column {
  readonly header: string;
  /** Whether cells may be truncated if the table is wider than the terminal. Default false. */
  readonly flexible?: boolean;
}

const GAP = '  ';
const NARROWEST = 8;
const BREAKS = /[\t\n\r\u2028\u2029]+/g;
const WIDE = /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\uff01-\uff60]/u;
const segmenter = new Intl.Segmenter();

/**
 * Renders aligned columns, header first, and makes every cell a terminal-safe line. Flexible columns, widest first, shrink until a line
 * fits into `width`.
 */
export function renderTable(columns: readonly Column[], given: readonly (readonly string[])[], width: number): string[] {
  const rows = given.map((cells) => cells.map((cell) => printable(cell.replaceAll(BREAKS, ' '))));
  const widths = columns.map(({ header }, place) => Math.max(...[header, ...rows.map((row) => row[place] ?? '')].map(textWidth)));
  fit(widths, columns, width);
  return [columns.map(({ header }) => header), ...rows].map((cells) => {
    const line = cells.map((cell, place) => pad(cut(cell, widths[place] as number), widths[place] as number)).join(GAP);
    return cut(line.trimEnd(), width);
  });
}

function fit(widths: number[], columns: readonly Column[], width: number): void {
  const total = (): number => widths.reduce((sum, cell) => sum + cell, GAP.length * (widths.length - 1));
  while (total() > width) {
    const flexible = widths.map((one, place) => (columns[place]?.flexible && one > NARROWEST ? one : 0));
    const widest = Math.max(...flexible);
    if (widest === 0) return;
    widths[flexible.indexOf(widest)] = widest - 1;
  }
}

/** Returns the number of terminal columns that a text occupies. */
function textWidth(text: string): number {
  let width = 0;
  for (const { segment } of segmenter.segment(text)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - textWidth(text)));
}

/** Truncates a text to `width`, ending in `…`. */
export function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let kept = '';
  let left = width - 1;
  for (const { segment } of segmenter.segment(text)) {
    left -= textWidth(segment);
    if (left < 0) break;
    kept += segment;
  }
  return `${kept}…`;
}
