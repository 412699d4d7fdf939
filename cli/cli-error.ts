import { isFleetError, messageOf } from '../shared/errors.js';
import { EXIT, exitCodeOf } from './exit-codes.js';

/** An error of the command itself, with the code that `-o json` shows and the exit code. */
export class CliError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, exitCode: number, message: string) {
    super(message);
    this.name = 'CliError';
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** The command was called in a way that it does not understand. */
export function usageError(message: string): CliError {
  return new CliError('USAGE', EXIT.USAGE, message);
}

/** How an error is reported. */
export interface Report {
  readonly exitCode: number;
  /** What goes to standard error, without a line break at the end. */
  readonly text: string;
}

/** The one form of all errors: `taskfleet: <message>`, or `{ "error": { code, message } }`; with `debug`, the stack too. */
export function describeError(error: unknown, { json, debug }: { readonly json: boolean; readonly debug: boolean }): Report {
  const exitCode = error instanceof CliError ? error.exitCode : exitCodeOf(error);
  const stack = debug && error instanceof Error && error.stack ? error.stack : null;
  if (json) {
    const code = error instanceof CliError || isFleetError(error) ? error.code : 'UNEXPECTED';
    return { exitCode, text: JSON.stringify({ error: { code, message: messageOf(error), ...(stack && { stack }) } }) };
  }
  const hint = exitCode === EXIT.INTERNAL && !stack ? '\n(unexpected: GLOBAL_LOG_LEVEL=debug shows where it comes from)' : '';
  return { exitCode, text: `taskfleet: ${messageOf(error)}${hint}${stack ? `\n${stack}` : ''}` };
}
