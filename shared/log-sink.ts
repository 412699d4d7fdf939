import { writeSync } from 'node:fs';

/** What became of the lines of a log. */
export interface LogLosses {
  /** Lines that could not be written, since the process began. */
  readonly lost: number;
  /** Why the last attempt to write failed; null if it did not. */
  readonly error: string | null;
}

export const NO_LOSSES: LogLosses = { lost: 0, error: null };

export interface LogSinkOptions {
  /** Writes text, or throws. */
  readonly write: (text: string) => void;
  /** The line that tells of a loss, with its line break. */
  readonly notice: (losses: LogLosses) => string;
}

/** How often it is tried, while nothing else is logged, to tell of a loss. */
const RETRY_MS = 1_000;
const EAGAIN_ATTEMPTS = 10;
const EAGAIN_WAIT_MS = 10;

/**
 * Takes the lines of a log and never throws: a full disk or a reader that is gone ends no process. Lines that cannot be
 * written are counted, and the first thing that is written again is how many they were.
 */
export class LogSink {
  readonly #options: LogSinkOptions;
  #lost = 0;
  /** Of those lost, how many no line has told of. */
  #untold = 0;
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
    this.#untold += 1;
    this.#retry ??= setInterval(() => this.#attempt(''), RETRY_MS).unref();
  }

  #attempt(line: string): boolean {
    const { write, notice } = this.#options;
    try {
      if (this.#untold > 0) write(notice({ lost: this.#untold, error: this.#error }));
      this.#untold = 0;
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
 * Writes whole texts to a file descriptor. After one that was cut off in the middle the next one begins on a new line. A
 * pipe that is full is given a tenth of a second, and no time at all until it has taken something again.
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
