import { writeSync } from 'node:fs';

/** Log lines that could not be written. */
export interface LogLosses {
  /** Lines lost since the process started. */
  readonly lost: number;
  /** Why the last write failed; null if it succeeded. */
  readonly error: string | null;
}

export const NO_LOSSES: LogLosses = { lost: 0, error: null };

interface LogSinkOptions {
  /** Writes text, or throws. */
  readonly write: (text: string) => void;
  /** Formats the line that reports a loss, with its line break. */
  readonly notice: (losses: LogLosses) => string;
}

/** Interval of attempts to report a loss while nothing else is logged. */
const RETRY_MS = 1_000;
const EAGAIN_ATTEMPTS = 10;
const EAGAIN_WAIT_MS = 10;

/**
 * Writes log lines and never throws: a full disk or a closed pipe must not end the process. Lost lines are counted, and once
 * writing works again the first line reports their number.
 */
export class LogSink {
  readonly #options: LogSinkOptions;
  #lost = 0;
  /** Lost lines that are not yet reported. */
  #unreported = 0;
  #error: string | null = null;
  #retry: NodeJS.Timeout | null = null;

  constructor(options: LogSinkOptions) {
    this.#options = options;
  }

  get losses(): LogLosses {
    return { lost: this.#lost, error: this.#error };
  }

  write(line: string): void {
    if (this.#attempt(line)) return;
    this.#lost += 1;
    this.#unreported += 1;
    this.#retry ??= setInterval(() => this.#attempt(''), RETRY_MS).unref();
  }

  #attempt(line: string): boolean {
    const { write, notice } = this.#options;
    try {
      if (this.#unreported > 0) write(notice({ lost: this.#unreported, error: this.#error }));
      this.#unreported = 0;
      if (line !== '') write(line);
      this.#error = null;
      if (this.#retry) clearInterval(this.#retry);
      this.#retry = null;
      return true;
    } catch (error) {
      this.#error = codeOf(error);
      return false;
    }
  }
}

/**
 * Returns a function that writes whole texts to a file descriptor. After a partial write, the next text begins on a new line.
 * A full pipe is retried for 100 ms; further writes then fail at once until the pipe accepts data again.
 */
export function writerTo(fd: number): (text: string) => void {
  let torn = false;
  let stuck = false;
  const writeSome = (bytes: Buffer): number => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const written = writeSync(fd, bytes);
        stuck = false;
        return written;
      } catch (error) {
        if (codeOf(error) !== 'EAGAIN' || stuck) throw error;
        stuck = attempt === EAGAIN_ATTEMPTS;
        if (!stuck) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EAGAIN_WAIT_MS);
      }
    }
  };
  return (text) => {
    let bytes = Buffer.from(torn ? `\n${text}` : text);
    const { length } = bytes;
    try {
      while (bytes.length > 0) bytes = bytes.subarray(writeSome(bytes));
      torn = false;
    } catch (error) {
      torn ||= bytes.length < length;
      throw error;
    }
  };
}

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
