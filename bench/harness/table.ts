import { median, ratioOf } from './statistics.js';
import type { Ratio, Row } from './suite.js';

const GAP = '  ';
/** Ratios below this have three decimals. */
const SMALL = 0.1;

/** Formats the rows as aligned text, a table for each run of rows with the same columns. */
export function textTables(rows: readonly Row[]): string {
  return tablesOf(rows).map(alignedText).join('\n\n');
}

/** Formats the rows as Markdown tables. */
export function markdownTables(rows: readonly Row[]): string {
  return tablesOf(rows)
    .map(({ words, lines: [head = [], ...lines] }) =>
      [head, head.map((_, column) => (column < words ? '---' : '---:')), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n'),
    )
    .join('\n\n');
}

/** The cells of a table, its head first. */
interface Table {
  /** The number of columns with words, before those with numbers. */
  readonly words: number;
  readonly lines: readonly (readonly string[])[];
}

function alignedText({ words, lines }: Table): string {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0))) ?? [];
  const align = (cell: string, column: number): string =>
    column < words ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((cells) => cells.map(align).join(GAP).trimEnd()).join('\n');
}

function tablesOf(rows: readonly Row[]): Table[] {
  const tables: { readonly columns: string; readonly rows: Row[] }[] = [];
  for (const row of rows) {
    const columns = JSON.stringify([row.unit === '', Object.keys(row.sides), row.ratios?.map(labelOf)]);
    const last = tables.at(-1);
    if (last?.columns === columns) last.rows.push(row);
    else tables.push({ columns, rows: [row] });
  }
  return tables.map(({ rows: [first, ...others] }) => tableOf([first as Row, ...others]));
}

/** Leaves out the column of units if there are none. */
function tableOf(rows: readonly [Row, ...Row[]]): Table {
  const [{ unit, sides, ratios = [] }] = rows;
  const units = unit === '' ? [] : ['unit'];
  const head = ['', ...units, ...Object.keys(sides), ...ratios.map(labelOf)];
  const lines = rows.map((row) => [
    row.name,
    ...(units.length > 0 ? [row.unit] : []),
    ...Object.values(row.sides).map((values) => formatNumber(median(values))),
    ...ratios.map((ratio) => formatRatio(row, ratio)),
  ]);
  return { words: 1 + units.length, lines: [head, ...lines] };
}

export function labelOf({ of, to }: Ratio): string {
  return `${of} / ${to}`;
}

/** Formats a ratio with its range over the rounds: `0.96 (0.93–0.99)`. */
function formatRatio(row: Row, ratio: Ratio): string {
  const over = ratioOf(row, ratio);
  if (over === null) return '–';
  const { value, lowest, highest } = over;
  const digits = value < SMALL ? 3 : 2;
  const range = lowest === highest ? '' : ` (${lowest.toFixed(digits)}–${highest.toFixed(digits)})`;
  return `${value.toFixed(digits)}${range}`;
}

/** Formats a number with about three significant digits: `28,140`, `35.2`, `0.65`. */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return '–';
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
