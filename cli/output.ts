import { messageOf } from '../shared/errors.js';
import { EXIT } from './exit-codes.js';

/**
 * For a command that answers: ends the process when its output cannot be written, quietly if the reader of a pipe has left
 * (`| head`). What cannot be written to standard error is lost.
 */
export function endWithoutOutput(): void {
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.DONE);
    say(`taskfleet: Standard output cannot be written: ${messageOf(error)}`);
    process.exit(EXIT.INTERNAL);
  });
}

/** For a process that works: it goes on when what it, or a task's handler, prints cannot be written. */
export function goOnWithoutOutput(): void {
  process.stdout.removeAllListeners('error').on('error', () => undefined);
}

/** Data goes to standard output; everything else (notices, logs, errors) to standard error. */
export function printData(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

export function printJson(value: unknown): void {
  printData(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** A line for the person at the keyboard. */
export function say(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}

/** The terminal's width, or no limit if the output is not a terminal. */
export function outputWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns || 80 : Infinity;
}

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROLS_BUT_BREAKS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** The picture of the control character 0; those of the others follow it. */
const PICTURES = 0x2400;

/**
 * Text that somebody else wrote, fit for a terminal: what could move the cursor, colour a line or turn its direction around is made
 * visible, `␛[2J` or `\u009b`. Tabs and line breaks stay. JSON text stays JSON, with the same value.
 */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS_BUT_BREAKS, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(PICTURES + code) : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** The same in one line. */
export function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, ' ')).trim();
}
