import { InvalidArgumentError, Option } from 'commander';
import { usageError } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { type Paint, type Tone, paintOf } from './colour.js';
import { outputWidth, printLine } from './output.js';
import { type Cell, renderTable } from './table.js';

/** A column of a list of rows. */
export interface ListColumn<Row> {
  /** The name in `--columns`; in upper case it is the header. */
  readonly name: string;
  /** Null if the row has no such value, shown as `-`. The text need not be terminal-safe. */
  readonly text: (row: Row, now: number) => string | null;
  readonly tone?: (row: Row, now: number) => Tone | null;
  /** Whether cells may be truncated if the table is wider than the terminal. Default false. */
  readonly flexible?: boolean;
  /** Whether cells are aligned to the right. Default false. */
  readonly numeric?: boolean;
  /** Whether the list shows the column without `--columns`: always, if a row has a value, or never. Default always. */
  readonly shown?: 'always' | 'filled' | 'chosen';
}

/** The flags of a command with `columnsOption`. */
export interface ColumnFlags extends GlobalOptions {
  readonly columns?: readonly string[];
}

/** Returns the option `--columns`, which accepts the names of these columns. */
export function columnsOption<Row>(columns: readonly ListColumn<Row>[]): Option {
  const valid = columns.map(({ name }) => name);
  const option = new Option('--columns <names>', 'columns of the table, in this order, separated by commas');
  option.argParser((text: string) => {
    const names = text.split(',').map((name) => name.trim().toLowerCase());
    const unknown = names.filter((name) => !valid.includes(name));
    if (unknown.length === 0) return names;
    const what = unknown.map((name) => JSON.stringify(name)).join(', ');
    throw new InvalidArgumentError(`There is no column ${what}. Expected names separated by commas, of: ${valid.join(', ')}.`);
  });
  // Not by choices(), whose parser accepts one value; these are for the help and the completion.
  option.argChoices = valid;
  return option;
}

/** Rejects `--columns` with `-o json`, which prints all fields. @throws CliError `USAGE` */
export function checkColumns({ columns, output }: ColumnFlags): void {
  if (columns !== undefined && output === 'json') throw usageError('--columns is for tables; -o json prints all fields.');
}

const NONE: Cell = { text: '-', tone: 'quiet' };

/** Renders rows as terminal-safe table lines, header first. */
export function listLines<Row>(
  columns: readonly ListColumn<Row>[],
  rows: readonly Row[],
  {
    names,
    now,
    width,
    paint,
  }: { readonly names?: readonly string[] | undefined; readonly now: number; readonly width: number; readonly paint: Paint },
): string[] {
  const isShown = ({ shown = 'always', text }: ListColumn<Row>): boolean =>
    shown === 'always' || (shown === 'filled' && rows.some((row) => text(row, now) !== null));
  const chosen = names ? names.flatMap((name) => columns.filter((column) => column.name === name)) : columns.filter(isShown);
  const cells = rows.map((row) =>
    chosen.map(({ text, tone }): Cell => {
      const value = text(row, now);
      return value === null ? NONE : { text: value, tone: tone?.(row, now) ?? null };
    }),
  );
  const headed = chosen.map((column) => ({ ...column, header: column.name.toUpperCase().replaceAll('_', ' ') }));
  return renderTable(headed, cells, width, paint);
}

/** Prints rows as a table, fitted to the terminal and in its colours. */
export function printList<Row>(io: Io, columns: readonly ListColumn<Row>[], rows: readonly Row[], { columns: names }: ColumnFlags): void {
  const options = { names, now: Date.now(), width: outputWidth(io), paint: paintOf(io, io.stdout) };
  for (const line of listLines(columns, rows, options)) printLine(io, line);
}
