import type { Summary } from './statistics.js';

/** Formats a number with about three significant digits: `12,300`, `45.6`, `0.78`. */
export function formatNumber(value: number): string {
  if (value >= 1_000) return Number(value.toPrecision(3)).toLocaleString('en-US');
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

/** Formats a median with its range: `12,300 (11,900–12,500)`. */
export function formatSummary({ median, min, max }: Summary): string {
  return `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`;
}

/** Returns the text of a cell without a value. */
export function emptyCell(isOffered: boolean): string {
  return isOffered ? 'failed' : 'not offered';
}

/** Returns a Markdown table. The first column is aligned to the left, the others to the right unless told otherwise. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[], align: 'left' | 'right' = 'right'): string {
  const rule = header.map((_, column) => (column === 0 || align === 'left' ? '---' : '---:'));
  return [header, rule, ...rows].map((cells) => `| ${cells.map(escapeCell).join(' | ')} |`).join('\n');
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
