import { SingleBar } from 'cli-progress';
import { oneLine } from './output.js';

/** The share of a task that is done, 0 to 1; null if its progress does not say. */
function share(progress: unknown): number | null {
  if (typeof progress === 'number') return clamp(progress / 100);
  if (typeof progress !== 'object' || progress === null || !('done' in progress) || !('total' in progress)) return null;
  const { done, total } = progress;
  return typeof done === 'number' && typeof total === 'number' && total > 0 ? clamp(done / total) : null;
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** A task's progress in a few words: `40%`, `12/30`, or its JSON; `-` for none. BullMQ's own 0 is none, too. */
export function progressText(progress: unknown): string {
  if (progress === null || progress === undefined || progress === 0) return '-';
  if (typeof progress === 'number') return `${Math.round(progress)}%`;
  if (share(progress) === null) return oneLine(JSON.stringify(progress));
  const { done, total } = progress as { done: number; total: number };
  return `${done}/${total}`;
}

/** The last line of a terminal while a task runs: a bar that makes room for text, and comes back below it. */
export class ProgressBar {
  readonly #bar: SingleBar;
  #progress: unknown = null;
  #shown = false;

  constructor(stream: NodeJS.WritableStream) {
    this.#bar = new SingleBar({
      ...{ stream, format: '{bar} {percentage}%  {text}', barsize: 30, fps: 10 },
      ...{ barCompleteChar: '█', barIncompleteChar: '░', clearOnComplete: true, hideCursor: true },
      // It would end the process on Ctrl+C; that is for the command to decide.
      gracefulExit: false,
    });
  }

  /** Shows this progress, and keeps it for `show`. */
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

  /** Clears the line, for text to take its place. */
  hide(): void {
    if (this.#shown) this.#bar.stop();
    this.#shown = false;
  }
}
