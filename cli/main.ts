#!/usr/bin/env node
import { CommanderError } from 'commander';
import { EXIT, describeError, usageError } from './errors.js';
import type { GlobalOptions } from './options.js';
import { endWithoutOutput, say } from './text/output.js';
import { createProgram } from './program.js';

endWithoutOutput();
const program = createProgram();
try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}
// Exits once the output is flushed, even if a loaded task module keeps handles open.
await new Promise((resolve) => process.stdout.write('', resolve));
process.exit();

/** Reports an error and returns the exit code. */
function report(error: unknown): number {
  const shown = error instanceof CommanderError ? fromCommander(error) : error;
  if (typeof shown === 'number') return shown;
  const debug = /^(?:debug|trace)$/i.test(process.env['GLOBAL_LOG_LEVEL'] ?? '');
  const { exitCode, text } = describeError(shown, { json: program.opts<GlobalOptions>().output === 'json', debug });
  say(text);
  return exitCode;
}

/** Help and version are not errors and have been printed already, so they need no report. */
function fromCommander({ code, exitCode, message }: CommanderError): Error | number {
  if (exitCode === 0) return EXIT.DONE;
  return code === 'commander.help' ? EXIT.USAGE : usageError(message.replace(/^error: /, ''));
}
