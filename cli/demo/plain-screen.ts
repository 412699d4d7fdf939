import { type Paint, cutStart, countWords, formatTime } from './columns.js';
import type { Screen } from './screen.js';
import { type TaskRow, workerName } from './task-row.js';

const SUMMARY_MS = 2_000;
const TEXT_WIDTH = 55;

/** Progress as lines, for logs: each change of state, and every two seconds how many there are of each. */
export class PlainScreen implements Screen {
  readonly paint: Paint;
  readonly #out: NodeJS.WritableStream;
  readonly #startedAt: number;
  #rows: readonly TaskRow[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(out: NodeJS.WritableStream, paint: Paint, startedAt: number) {
    this.#out = out;
    this.paint = paint;
    this.#startedAt = startedAt;
  }

  tell(line: string): void {
    this.#write(line);
  }

  show(rows: readonly TaskRow[]): void {
    this.#rows = rows;
    this.#timer = setInterval(() => this.#summarise(), SUMMARY_MS);
  }

  changed(row: TaskRow): void {
    const line = `${this.#time()}  ${row.task.id.padEnd(19)} ${row.state.padEnd(10)} ${detailOf(row)}`;
    this.#write(line.trimEnd());
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  #summarise(): void {
    this.#write(`${this.#time()}  ${countWords(this.#rows.map(({ state }) => state))}`);
    for (const { task, text, pieces } of this.#rows.filter((row) => row.state === 'running' && row.pieces > 0)) {
      this.#write(`${' '.repeat(10)}${`${task.id}, ${pieces} words:`.padEnd(32)}${cutStart(text, TEXT_WIDTH)}`);
    }
  }

  #time(): string {
    return formatTime(Date.now() - this.#startedAt).padStart(8);
  }

  #write(line: string): void {
    this.#out.write(`${line}\n`);
  }
}

function detailOf(row: TaskRow): string {
  if (row.state === 'running') return `on ${workerName(row.view)}`;
  if (!row.ended) return '';
  const ms = row.durationMs(Date.now());
  return ms === null ? 'before it started' : `after ${formatTime(ms)}`;
}
