import { isFleetError, messageOf } from '../shared/errors.js';
import { EXIT, exitCodeOf } from './exit-codes.js';

/** An error of the command itself, with its exit code and the `code` that `-o json` prints. */
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

/** An error in the command's arguments. */
export function usageError(message: string): CliError {
  return new CliError('USAGE', EXIT.USAGE, message);
}

/** An error as the command reports it. */
export interface Report {
  readonly exitCode: number;
  /** The text for standard error, without a final line break. */
  readonly text: string;
}

/** Formats an error as `taskfleet: <message>`, or as `{ "error": { code, message } }`; `debug` adds the stack. */
export function describeError(error: unknown, { json, debug }: { readonly json: boolean; readonly debug: boolean }): Report {
  const exitCode = error instanceof CliError ? error.exitCode : exitCodeOf(error);
  const stack = debug && error instanceof Error && error.stack ? error.stack : null;
  if (json) {
    const code = error instanceof CliError || isFleetError(error) ? error.code : 'UNEXPECTED';
    return { exitCode, text: JSON.stringify({ error: { code, message: messageOf(error), ...(stack && { stack }) } }) };
  }
  const hint = exitCode === EXIT.INTERNAL && !stack ? '\n(unexpected error; set GLOBAL_LOG_LEVEL=debug to see the stack trace)' : '';
  return { exitCode, text: `taskfleet: ${messageOf(error)}${hint}${stack ? `\n${stack}` : ''}` };
}
