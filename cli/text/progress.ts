import { SingleBar } from 'cli-progress';
import { progressText, share } from './progress-text.js';

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
