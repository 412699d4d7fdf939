import type { Io } from '../io.js';
import { outputWidth } from '../text/output.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_REST = '\u001b[J';
const DEFAULT_ROWS = 24;

/** The terminal's second screen, redrawn in place. What the terminal showed before comes back when it closes, at any exit. */
export class Screen {
  #isOpen = false;
  readonly #close = (): void => this.close();

  /** @param redraw called when the size of the terminal changes */
  constructor(
    private readonly io: Io,
    private readonly redraw: () => void,
  ) {}

  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: outputWidth(this.io), rows: this.io.stdout.rows || DEFAULT_ROWS };
  }

  /** May be called again. */
  open(): void {
    if (this.#isOpen) return;
    const { stdout, host } = this.io;
    this.#isOpen = true;
    host.once('exit', this.#close);
    stdout.on('resize', this.redraw);
    stdout.write(ENTER);
  }

  /** Shows terminal-safe lines that fit the width; those below the last row are left out. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    const shown = lines.slice(0, this.size.rows).map((line) => line + CLEAR_LINE);
    this.io.stdout.write(HOME + shown.join('\r\n') + CLEAR_REST);
  }

  /** May be called again. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { stdout, host } = this.io;
    host.off('exit', this.#close);
    stdout.off('resize', this.redraw);
    stdout.write(LEAVE);
  }
}
