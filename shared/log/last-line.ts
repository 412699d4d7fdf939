import { messageOf } from '../errors.js';
import { cutToBytes } from '../limits.js';

/** The last line of level error or fatal that a process logged. */
export interface LastLine {
  /** By performance.now. */
  readonly at: number;
  readonly level: 'error' | 'fatal';
  readonly text: string;
}

const MAX_BYTES = 500;
/** pino's numbers of the levels. */
const ERROR = 50;
const FATAL = 60;

/** Keeps the last line of level error or fatal. A later error does not replace a fatal line, which says why the process ends. */
export class LastError {
  #line: LastLine | null = null;

  get line(): LastLine | null {
    return this.#line;
  }

  /** @param words the arguments of the logging call: fields and a message, or a message */
  note(level: number, words: readonly unknown[]): void {
    if (level < ERROR || (level < FATAL && this.#line?.level === 'fatal')) return;
    this.#line = { at: performance.now(), level: level >= FATAL ? 'fatal' : 'error', text: cutToBytes(textOf(words), MAX_BYTES) };
  }
}

function textOf(words: readonly unknown[]): string {
  const message = words.find((word) => typeof word === 'string') ?? '';
  const [fields] = words;
  const error = fields instanceof Error ? fields : typeof fields === 'object' && fields !== null && 'error' in fields ? fields.error : null;
  return error === null || error === undefined ? message : `${message}: ${messageOf(error)}`;
}
