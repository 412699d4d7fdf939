import type { Io } from '../io.js';

/** A key: a character, or the name of a key without one. */
export type Key = string;

const SEQUENCES: Readonly<Record<string, Key>> = {
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
  '\u001b[5~': 'page up',
  '\u001b[6~': 'page down',
  '\u001b[H': 'home',
  '\u001b[F': 'end',
  '\u001b': 'escape',
  '\u0003': 'ctrl+c',
  '\r': 'enter',
};

// eslint-disable-next-line no-control-regex -- the escape sequences of keys
const KEYS = /\u001b\[[0-9;]*[A-Za-z~]|\u001bO[A-Z]|[^]/gu;

/** Reads single keys from the terminal, without echo. */
export class Keyboard {
  readonly #onData = (data: Buffer | string): void => {
    for (const [text] of String(data).matchAll(KEYS)) this.pressed(SEQUENCES[text] ?? text);
  };

  /** @param ended called when the terminal is gone */
  constructor(
    private readonly io: Io,
    private readonly pressed: (key: Key) => void,
    private readonly ended: () => void,
  ) {}

  open(): void {
    const { stdin } = this.io;
    stdin.setRawMode?.(true);
    stdin.on('data', this.#onData).once('end', this.ended);
    stdin.resume();
  }

  close(): void {
    const { stdin } = this.io;
    stdin.off('data', this.#onData).off('end', this.ended);
    stdin.setRawMode?.(false);
    stdin.pause();
  }
}
