import type { TaskEvent, TaskStateEvent, TaskView } from '../producer/index.js';
import { type StopReceipt, receiptToJson } from '../shared/stop/receipt.js';
import { ChunkText } from '../dashboard/page/chunk-text.js';
import { oneLine, printData, printable, say } from './output.js';
import { ProgressBar, progressText } from './progress.js';
import { cancelledText, endText } from './task-text.js';

/** Shows what happens to a task. */
export interface WatchOutput {
  event(event: TaskEvent): void;
  /** The task has ended like this; null if it is gone. `receipt` if it was cancelled, gone or not. */
  end(task: TaskView | null, receipt: StopReceipt | null): void;
  /** Leaves the terminal in order; also after an error. */
  close(): void;
}

/** One JSON line for each event. */
export class JsonOutput implements WatchOutput {
  event(event: TaskEvent): void {
    const { receipt = null } = event.type === 'state' ? event : {};
    printData(JSON.stringify(receipt === null ? event : { ...event, receipt: receiptToJson(receipt) }));
  }

  end(): void {}

  close(): void {}
}

/** The task's text as it comes. Whatever else there is to say begins on a line of its own. */
class TextStream {
  readonly #text = new ChunkText();

  constructor(readonly write: (text: string) => void) {}

  get inLine(): boolean {
    return this.#text.inLine;
  }

  chunk(chunk: unknown): void {
    this.write(this.#text.add(chunk));
  }

  line(line: string): void {
    this.write(this.#text.line(line));
  }

  endLine(): void {
    this.write(this.#text.endLine());
  }
}

/** For a terminal: a line break of two characters has none that must be shown. */
function printableChunk(text: string): string {
  return printable(text.replaceAll('\r\n', '\n'));
}

/**
 * For pipes and files: `state running`, `progress 40`, and the task's output in between, as it is. Where standard output is a terminal and
 * standard error is not, the output is made fit for one.
 */
export class PlainOutput implements WatchOutput {
  readonly #text = new TextStream((text) => process.stdout.write(process.stdout.isTTY ? printableChunk(text) : text));

  event(event: TaskEvent): void {
    switch (event.type) {
      case 'state':
        return this.#text.line(`state ${event.state}`);
      case 'progress':
        return this.#text.line(`progress ${JSON.stringify(event.progress)}`);
      case 'chunk':
        return this.#text.chunk(event.chunk);
    }
  }

  end(task: TaskView | null, receipt: StopReceipt | null): void {
    this.#text.endLine();
    if (receipt) say(cancelledText(receipt));
    else if (task?.error) say(endText(task));
  }

  close(): void {
    this.#text.endLine();
  }
}

/** For a terminal: the task's output, a progress bar below it whenever no line is open, and how it ended. */
export class TerminalOutput implements WatchOutput {
  readonly #text = new TextStream((text) => process.stdout.write(printableChunk(text)));
  readonly #bar = new ProgressBar(process.stderr);
  /** The attempt that was last seen to begin; null before the first, undefined if it is not known which. */
  #attempt: number | null | undefined = null;

  event(event: TaskEvent): void {
    switch (event.type) {
      case 'state':
        return this.#state(event);
      case 'progress':
        return this.#progress(event.progress);
      case 'chunk':
        this.#bar.hide();
        this.#text.chunk(event.chunk);
        if (!this.#text.inLine) this.#bar.show();
        return;
    }
  }

  /** The end has a line of its own. */
  #state({ state, attempt }: TaskStateEvent): void {
    if (state === 'completed' || state === 'failed' || state === 'cancelled') return;
    if (state !== 'running') return this.#notice(`· ${state}`);
    if (this.#attempt === null) this.#notice('· running');
    else this.#notice(attempt === undefined || attempt === this.#attempt ? '· running again' : `· attempt ${attempt}`);
    this.#attempt = attempt;
  }

  #progress(progress: unknown): void {
    if (typeof progress === 'object' && progress !== null && progressText(progress).startsWith('{')) {
      this.#notice(`· ${oneLine(progressText(progress))}`);
    } else if (!this.#text.inLine) {
      this.#bar.update(progress);
    }
  }

  #notice(line: string): void {
    this.close();
    say(line);
  }

  end(task: TaskView | null, receipt: StopReceipt | null): void {
    this.close();
    if (receipt) say(cancelledText(receipt));
    else if (task) say(endText(task));
  }

  close(): void {
    this.#bar.hide();
    this.#text.endLine();
  }
}
