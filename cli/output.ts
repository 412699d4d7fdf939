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
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  printData(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** A line for the person at the keyboard. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The terminal's width, or no limit if the output is not a terminal. */
export function outputWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns || 80 : Infinity;
}

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROLS_BUT_BREAKS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Text of a task, fit for a terminal: without the control characters that could move the cursor or worse. */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS_BUT_BREAKS, '');
}

/** The same in one line. */
export function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, ' ')).trim();
}
