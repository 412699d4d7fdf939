import { SingleBar } from 'cli-progress';
import { oneLine } from './output.js';

/** Returns the completed fraction, 0 to 1, or null if the progress does not tell. */
function share(progress: unknown): number | null {
  if (typeof progress === 'number') return clamp(progress / 100);
  if (typeof progress !== 'object' || progress === null || !('done' in progress) || !('total' in progress)) return null;
  const { done, total } = progress;
  return typeof done === 'number' && typeof total === 'number' && total > 0 ? clamp(done / total) : null;
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Formats progress as `40%`, `12/30` or JSON; `-` for none, which includes BullMQ's default of 0. */
export function progressText(progress: unknown): string {
  if (progress === null || progress === undefined || progress === 0) return '-';
  if (typeof progress === 'number') return `${Math.round(progress)}%`;
  if (share(progress) === null) return oneLine(JSON.stringify(progress));
  const { done, total } = progress as { done: number; total: number };
  return `${done}/${total}`;
}

/** A progress bar on the terminal's last line, which can be hidden while text is printed. */
export class ProgressBar {
  readonly #bar: SingleBar;
  #progress: unknown = null;
  #shown = false;

  constructor(stream: NodeJS.WritableStream) {
    this.#bar = new SingleBar({
      ...{ stream, format: '{bar} {percentage}%  {text}', barsize: 30, fps: 10 },
      ...{ barCompleteChar: '█', barIncompleteChar: '░', clearOnComplete: true, hideCursor: true },
      // By default the bar would exit the process on Ctrl+C; the command handles signals itself.
      gracefulExit: false,
    });
  }

  /** Shows this progress and remembers it for `show`. */
  update(progress: unknown): void {
    this.#progress = progress;
    this.show();
  }

  show(): void {
    const done = share(this.#progress);
    if (done === null) return;
    const value = Math.round(done * 100);
    const text = typeof this.#progress === 'number' ? '' : progressText(this.#progress);
    if (this.#shown) this.#bar.update(value, { text });
    else this.#bar.start(100, value, { text });
    this.#shown = true;
  }

  /** Clears the line to make room for text. */
  hide(): void {
    if (this.#shown) this.#bar.stop();
    this.#shown = false;
  }
}
