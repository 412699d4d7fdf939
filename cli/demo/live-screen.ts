import { type Cell, MAX_WIDTH, type Paint, STATE_STYLE, countWords, formatLine, formatTime } from './columns.js';
import type { Screen } from './screen.js';
import { type TaskRow, workerName } from './task-row.js';

const FRAME_MS = 100;
const WIDEST_BAR = 24;
/** ` 100 %` */
const PERCENT_WIDTH = 6;
/** Before the last column: indent, task, item, state, worker. */
const WIDTHS = [2, 19, 16, 10, 12] as const;
const BEFORE_LAST = WIDTHS.reduce<number>((sum, width) => sum + width, 0);
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** Progress on a terminal: one line a task, drawn again in place ten times a second; the story goes on above it. */
export class LiveScreen implements Screen {
  readonly paint: Paint;
  readonly #out: NodeJS.WriteStream;
  readonly #startedAt: number;
  #rows: readonly TaskRow[] = [];
  #drawn = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(out: NodeJS.WriteStream, paint: Paint, startedAt: number) {
    this.#out = out;
    this.paint = paint;
    this.#startedAt = startedAt;
  }

  tell(line: string): void {
    const lines = this.#timer ? this.#frame() : [];
    this.#replace([line, ...lines], lines.length);
  }

  show(rows: readonly TaskRow[]): void {
    this.#rows = rows;
    this.#out.write(HIDE_CURSOR);
    this.#timer = setInterval(() => {
      const frame = this.#frame();
      this.#replace(frame, frame.length);
    }, FRAME_MS);
  }

  changed(): void {
    // The next frame shows it.
  }

  close(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#replace([], 0);
    this.#out.write(SHOW_CURSOR);
  }

  /** Writes lines over the last frame; the last `moving` of them are the new frame. */
  #replace(lines: readonly string[], moving: number): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : '';
    this.#out.write(`\r${up}${lines.map((line) => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}`);
    this.#drawn = moving;
  }

  #frame(): string[] {
    const now = Date.now();
    // One line for the counts, one for the cursor, one so that the story is seen to move.
    const rows = mostInteresting(this.#rows, this.#out.rows - 3);
    const hidden = this.#rows.length - rows.length;
    const counts = countWords(this.#rows.map(({ state }) => state)) + (hidden > 0 ? ` (${hidden} not shown)` : '');
    const last: Cell[] = [
      { text: '', width: 2 },
      { text: formatTime(now - this.#startedAt), style: 'bold', width: 9 },
      { text: counts, style: 'dim' },
    ];
    // One column less than there is: some terminals wrap when the last one is written.
    const width = Math.min(this.#out.columns - 1, MAX_WIDTH);
    return [...rows.map((row) => this.#cells(row, now, width)), last].map((cells) => formatLine(cells, this.paint, width));
  }

  #cells(row: TaskRow, now: number, width: number): Cell[] {
    const { task, state, view } = row;
    const [indent, id, item, stateWidth, worker] = WIDTHS;
    return [
      { text: '', width: indent },
      { text: task.id, width: id },
      { text: task.item, width: item, style: 'dim' },
      { text: state, width: stateWidth, style: STATE_STYLE[state] },
      { text: workerName(view), width: worker, style: 'dim' },
      doing(row, now, width - BEFORE_LAST),
    ];
  }
}

/** The last column: how it ended, what it says, how far it is, or for how long it has been at it. */
function doing(row: TaskRow, now: number, room: number): Cell {
  const ms = row.durationMs(now);
  const time = formatTime(ms);
  if (row.state === 'cancelled') return { text: ms === null ? 'stopped before it started' : `stopped after ${time}`, style: 'dim' };
  if (row.ended) return { text: `in ${time}`, style: 'dim' };
  if (row.pieces > 0) return { text: row.text, end: true };
  if (row.state !== 'running' && row.state !== 'stopping') return { text: '' };
  return row.share === null ? { text: time, style: 'dim' } : { text: bar(row.share, room), style: 'cyan' };
}

function bar(share: number, room: number): string {
  const width = Math.max(0, Math.min(room - PERCENT_WIDTH, WIDEST_BAR));
  const done = Math.round(Math.min(1, share) * width);
  return `${'━'.repeat(done)}${'┄'.repeat(width - done)} ${String(Math.round(share * 100)).padStart(3)} %`;
}

/** As many rows as there is room for, in their order: first those at work, then those that wait, then those that ended. */
function mostInteresting(rows: readonly TaskRow[], room: number): readonly TaskRow[] {
  const rank = (row: TaskRow): number => (row.ended ? 2 : row.state === 'running' || row.state === 'stopping' ? 0 : 1);
  const chosen = new Set(rows.toSorted((a, b) => rank(a) - rank(b)).slice(0, Math.max(1, room)));
  return rows.filter((row) => chosen.has(row));
}
