import { PLAIN, type Paint, type Tone } from './colour.js';
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

/** Formats the time until something is due: `in 8s`, or `now`. */
export function formatUntil(ms: number): string {
  return ms <= 0 ? 'now' : `in ${formatAge(ms)}`;
}

interface Column {
  readonly header: string;
  /** Whether cells may be truncated if the table is wider than the terminal. Default false. */
  readonly flexible?: boolean;
  /** Whether cells are aligned to the right. Default false. */
  readonly numeric?: boolean;
}

/** The text of a cell, which need not be terminal-safe, with its colour. */
export type Cell = string | { readonly text: string; readonly tone: Tone | null };

const GAP = '  ';
const NARROWEST = 8;
const BREAKS = /[\t\n\r\u2028\u2029]+/g;
const WIDE = /\p{Emoji_Presentation}|\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|[\uff01-\uff60]/u;
const segmenter = new Intl.Segmenter();

/**
 * Renders aligned columns, header first, and makes every cell a terminal-safe line. Flexible columns, widest first, shrink until a line
 * fits into `width`.
 */
export function renderTable(columns: readonly Column[], given: readonly (readonly Cell[])[], width: number, paint = PLAIN): string[] {
  const rows = given.map((cells) => cells.map(safeCell));
  const head = columns.map(({ header }) => ({ text: header, tone: 'strong' as const }));
  const widths = columns.map(({ header }, place) => Math.max(...[header, ...rows.map((row) => row[place]?.text ?? '')].map(textWidth)));
  fit(widths, columns, width);
  return [head, ...rows].map((cells) =>
    lineOf(
      cells.map((cell, place) => padded(cell, widths[place] as number, columns[place])),
      width,
      paint,
    ),
  );
}

interface SafeCell {
  readonly text: string;
  readonly tone: Tone | null;
}

function safeCell(cell: Cell): SafeCell {
  const { text, tone } = typeof cell === 'string' ? { text: cell, tone: null } : cell;
  return { text: printable(text.replaceAll(BREAKS, ' ')), tone };
}

function padded({ text, tone }: SafeCell, width: number, column?: Column): SafeCell {
  const shown = cut(text, width);
  const space = ' '.repeat(Math.max(0, width - textWidth(shown)));
  return { text: column?.numeric ? space + shown : shown + space, tone };
}

/** Joins cells to a line that fits into `width`, and colours what is left of each. */
function lineOf(cells: readonly SafeCell[], width: number, paint: Paint): string {
  const whole = cells.map(({ text }) => text).join(GAP);
  const shown = cut(whole.trimEnd(), width);
  let line = '';
  let end = 0;
  for (const { text, tone } of cells) {
    const start = end === 0 ? 0 : end + GAP.length;
    line += shown.slice(end, start) + paint(tone, shown.slice(start, start + text.length));
    end = start + text.length;
  }
  return line;
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
