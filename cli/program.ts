import { Command, CommanderError } from 'commander';
import { packageVersion } from '../shared/package/version.js';
import { COMMANDS } from './command-list.js';
import { EXIT, describeError, usageError } from './errors.js';
import type { Io } from './io.js';
import { type GlobalOptions, addGlobalOptions } from './options.js';
import { exitOnOutputError, say } from './text/output.js';

/** Runs `taskfleet <args>` and returns its exit code. Never throws: errors are printed to `io.stderr`. */
export async function runCommand(args: readonly string[], io: Io): Promise<number> {
  exitOnOutputError(io);
  const program = await createProgram(io, args);
  try {
    await program.parseAsync(args, { from: 'user' });
    return io.exitCode;
  } catch (error) {
    const shown = error instanceof CommanderError ? fromCommander(error) : error;
    if (typeof shown === 'number') return shown;
    const debug = /^(?:debug|trace)$/i.test(io.env['GLOBAL_LOG_LEVEL'] ?? '');
    const { exitCode, text } = describeError(shown, { json: program.opts<GlobalOptions>().output === 'json', debug });
    say(io, text);
    return exitCode;
  }
}

/** Help and version are not errors and have been printed already, so they need no report. */
function fromCommander({ code, exitCode, message }: CommanderError): Error | number {
  if (exitCode === 0) return EXIT.DONE;
  return code === 'commander.help' ? EXIT.USAGE : usageError(message.replace(/^error: /, ''));
}

/**
 * Creates the command. Defines the subcommands whose names occur in `args`, and of the others only the names: loading every command
 * would dominate the start-up. Without `args`, defines all. Parsing throws a CommanderError instead of exiting.
 */
export async function createProgram(io: Io, args: readonly string[] | null = null): Promise<Command> {
  const { stdout, stderr } = io;
  const program = new Command('taskfleet');
  program
    .description('Run BullMQ workers whose tasks can always be stopped.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      // runCommand reports all errors.
      outputError: () => undefined,
      getOutHelpWidth: () => (stdout.isTTY ? stdout.columns : undefined) as number,
      getErrHelpWidth: () => (stderr.isTTY ? stderr.columns : undefined) as number,
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Examples:
  taskfleet up                                 a fleet on this machine, with an embedded Redis
  taskfleet task enqueue fleet.canary --input '{"run_ms":5000}' --wait
  taskfleet task list
  taskfleet doctor --canary
  TASKFLEET_API=https://fleet.example.org TASKFLEET_TOKEN=… taskfleet task list

Exit codes: 0 done, 1 the task failed, 2 usage error, 3 not found, 4 cancelled, 69 Redis or API unreachable, 77 not permitted,
78 bad configuration.
Data goes to standard output; logs, notices and errors to standard error.`,
    );
  addGlobalOptions(program);
  for (const { name, description, load, hidden = false } of COMMANDS) {
    const command = program.command(name, { hidden }).description(description).helpCommand(false);
    if (args === null || args.includes(name)) (await load())(command, io);
  }
  return program;
}
