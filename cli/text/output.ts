import { messageOf } from '../../shared/errors.js';
import { EXIT } from '../errors.js';

/**
 * For short-lived commands: exits when standard output cannot be written, silently if the reader closed the pipe
 * (`| head`). Failed writes to standard error are ignored.
 */
export function endWithoutOutput(): void {
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.DONE);
    say(`taskfleet: Cannot write to standard output: ${messageOf(error)}`);
    process.exit(EXIT.INTERNAL);
  });
}

/** For long-lived processes: keeps running when output, its own or a handler's, cannot be written. */
export function goOnWithoutOutput(): void {
  process.stdout.removeAllListeners('error').on('error', () => undefined);
}

/** Prints data to standard output; notices, logs and errors go to standard error. */
export function printData(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

export function printJson(value: unknown): void {
  printData(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** Prints a notice for the user. */
export function say(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}

/** Returns the terminal's width, or no limit if the output is not a terminal. */
export function outputWidth(): number {
  return process.stdout.isTTY ? process.stdout.columns || 80 : Infinity;
}

// eslint-disable-next-line no-control-regex -- matches control characters on purpose
const CONTROLS_BUT_BREAKS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
/** The Unicode control picture of U+0000; the others follow it. */
const PICTURES = 0x2400;

/**
 * Makes untrusted text safe for a terminal: characters that could move the cursor, set colours or change the text direction become
 * visible, `␛[2J` or `\u009b`. Tabs and line breaks stay. JSON text stays JSON with the same value.
 */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS_BUT_BREAKS, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(PICTURES + code) : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Makes untrusted text safe for a terminal and puts it on one line. */
export function oneLine(text: string): string {
  return printable(text.replaceAll(/\s+/g, ' ')).trim();
}
