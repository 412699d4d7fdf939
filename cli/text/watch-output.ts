import { ChunkText } from '../../dashboard/page/parts/chunk-text.js';
import { waitText } from '../../dashboard/page/parts/waiting-text.js';
import type { TaskEvent, TaskStateEvent, TaskView } from '../../producer/index.js';
import { eventToJson } from '../../shared/events/event.js';
import type { StopReceipt } from '../../shared/stop/receipt.js';
import { isTerminal } from '../../shared/task/state.js';
import type { Io } from '../io.js';
import { oneLine, printData, printable, say } from './output.js';
import { progressText } from './progress-text.js';
import { ProgressBar } from './progress.js';
import { cancelledText, endText } from './task-text.js';

/** Displays the events of one task. */
export interface WatchOutput {
  event(event: TaskEvent): void;
  /** Displays the end of the task; `task` is null if it is no longer stored, `receipt` is set if it was cancelled. */
  end(task: TaskView | null, receipt: StopReceipt | null): void;
  /** Restores the terminal, also after an error. */
  close(): void;
}

/** Prints each event as a JSON line. */
export class JsonOutput implements WatchOutput {
  constructor(private readonly io: Io) {}

  event(event: TaskEvent): void {
    printData(this.io, JSON.stringify(eventToJson(event)));
  }

  end(): void {}

  close(): void {}
}

/** Writes the task's text as it arrives; notices start on a new line. */
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

/** Makes a chunk safe for a terminal; the `\r` of a CRLF line break must not become visible. */
function printableChunk(text: string): string {
  return printable(text.replaceAll('\r\n', '\n'));
}

/**
 * `: attempt 1 failed: no answer; next at 2026-11-29T22:00:00.000Z` for an attempt that ended and is retried, `: third in line for chat:1`
 * for a task that waits for a limit, likewise for a paused queue, else empty.
 */
function reasonText({ state, attempt, error, nextAttemptAt, waitingFor }: TaskStateEvent): string {
  if (waitingFor) return oneLine(`: ${waitText(waitingFor)}`);
  if (state !== 'retrying' || !error) return '';
  const next = nextAttemptAt ? `; next at ${nextAttemptAt.toISOString()}` : '';
  return oneLine(`: attempt ${attempt ?? '?'} failed: ${error.message}${next}`);
}

/**
 * Output for pipes and files: `state running`, `progress 40`, with the task's raw output in between. The output is made terminal-safe
 * if standard output is a terminal and only standard error is redirected.
 */
export class PlainOutput implements WatchOutput {
  readonly #text: TextStream;

  constructor(private readonly io: Io) {
    const { stdout } = io;
    this.#text = new TextStream((text) => stdout.write(stdout.isTTY ? printableChunk(text) : text));
  }

  event(event: TaskEvent): void {
    switch (event.type) {
      case 'state':
        return this.#text.line(`state ${event.state}${reasonText(event)}`);
      case 'progress':
        return this.#text.line(`progress ${JSON.stringify(event.progress)}`);
      case 'chunk':
        return this.#text.chunk(event.chunk);
    }
  }

  end(task: TaskView | null, receipt: StopReceipt | null): void {
    this.#text.endLine();
    if (receipt) say(this.io, cancelledText(receipt));
    else if (task?.error || task?.state === 'skipped') say(this.io, endText(task));
  }

  close(): void {
    this.#text.endLine();
  }
}

/** Output for a terminal: the task's text, a progress bar below it while no line is open, and the final state. */
export class TerminalOutput implements WatchOutput {
  readonly #text: TextStream;
  readonly #bar: ProgressBar;
  /** The last attempt seen to start; null before the first, undefined if its number is unknown. */
  #attempt: number | null | undefined = null;

  constructor(private readonly io: Io) {
    this.#text = new TextStream((text) => io.stdout.write(printableChunk(text)));
    this.#bar = new ProgressBar(io.stderr);
  }

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

  /** Skips final states, which `end` prints. */
  #state(event: TaskStateEvent): void {
    const { state } = event;
    const attempt = event.attempt ?? undefined;
    if (isTerminal(state)) return;
    if (state !== 'running') return this.#notice(`· ${state}${reasonText(event)}`);
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
    say(this.io, line);
  }

  end(task: TaskView | null, receipt: StopReceipt | null): void {
    this.close();
    if (receipt) say(this.io, cancelledText(receipt));
    else if (task) say(this.io, endText(task));
  }

  close(): void {
    this.#bar.hide();
    this.#text.endLine();
  }
}
