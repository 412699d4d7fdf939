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
