import { messageOf } from '../../shared/errors.js';
import { EXIT } from '../errors.js';
import type { Io } from '../io.js';

/**
 * For short-lived commands: exits when standard output cannot be written, silently if the reader closed the pipe
 * (`| head`). Failed writes to standard error are ignored.
 */
export function exitOnOutputError(io: Io): void {
  const { stdout, stderr, host } = io;
  stderr.on('error', () => undefined);
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') host.exit(EXIT.DONE);
    say(io, `taskfleet: Cannot write to standard output: ${messageOf(error)}`);
    host.exit(EXIT.INTERNAL);
  });
}

/** For long-lived processes: keeps running when output, its own or a handler's, cannot be written. */
export function ignoreOutputErrors({ stdout }: Io): void {
  stdout.removeAllListeners('error').on('error', () => undefined);
}

/** Prints data to standard output; notices, logs and errors go to standard error. */
export function printData({ stdout }: Io, text: string): void {
  stdout.write(`${printable(text)}\n`);
}

/** Prints a line of data that is terminal-safe already, and may have colours. */
export function printLine({ stdout }: Io, line: string): void {
  stdout.write(`${line}\n`);
}

export function printJson(io: Io, value: unknown): void {
  printData(io, JSON.stringify(value, null, io.stdout.isTTY ? 2 : undefined));
}

/** Prints a notice for the user. */
export function say({ stderr }: Io, line: string): void {
  stderr.write(`${printable(line)}\n`);
}

/** Returns the terminal's width, or no limit if the output is not a terminal. */
export function outputWidth({ stdout }: Io): number {
  return stdout.isTTY ? stdout.columns || 80 : Infinity;
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
