import { type Command, InvalidArgumentError } from 'commander';
import { isTerminal } from '../../../shared/task/state.js';
import type { FleetClient } from '../../client/client.js';
import { withClient } from '../../client/open.js';
import { EXIT, exitCodeOfState } from '../../errors.js';
import { invocationOf } from '../../invocation.js';
import type { Io } from '../../io.js';
import type { GlobalOptions } from '../../options.js';
import { interruptible } from '../../process.js';
import { say } from '../../text/output.js';
import { JsonOutput, PlainOutput, TerminalOutput, type WatchOutput } from '../../text/watch-output.js';

interface WatchFlags extends GlobalOptions {
  readonly after?: string;
}

export function addTaskWatch(task: Command, io: Io): void {
  task
    .command('watch')
    .description('follow a task: progress, output, final state')
    .argument('<id>', 'task id')
    .option('--after <event>', 'skip events up to and including this event id', eventId)
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task watch 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task watch my-task | tee output.txt
  taskfleet task watch my-task -o json --after 1753000000000-0

Prints a task's history, then new events until the task ends. With -o json each event is a line with its time; output has an id,
and --after resumes after it. Ctrl+C stops watching; the task keeps running.
Exit codes: 0 completed, 1 failed, 3 not found, 4 cancelled, 5 skipped.`,
    )
    .action(async (id: string, _flags: unknown, command: Command) => {
      io.exitCode = await watchTask(io, id, command.optsWithGlobals<WatchFlags>());
    });
}

function eventId(text: string): string {
  if (/^\d{1,16}-\d{1,16}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected an event id such as 1753000000000-0.');
}

async function watchTask(io: Io, id: string, flags: WatchFlags): Promise<number> {
  const output = outputFor(io, flags);
  const notice = (): string => `Stopped watching; task ${id} keeps running. To stop it: ${invocationOf(io)} task stop ${id}`;
  try {
    return await withClient(io, flags, (client) =>
      interruptible(io, notice, (signal) => follow(io, client, id, output, { after: flags.after, signal })),
    );
  } finally {
    output.close();
  }
}

function outputFor(io: Io, { output }: GlobalOptions): WatchOutput {
  if (output === 'json') return new JsonOutput(io);
  return io.stdout.isTTY && io.stderr.isTTY ? new TerminalOutput(io) : new PlainOutput(io);
}

async function follow(
  io: Io,
  client: FleetClient,
  id: string,
  output: WatchOutput,
  options: { after: string | undefined; signal: AbortSignal },
): Promise<number> {
  for await (const event of client.events(id, options)) {
    output.event(event);
    if (event.type !== 'state' || !isTerminal(event.state)) continue;
    output.end(await client.get(id), event.receipt ?? null);
    return exitCodeOfState(event.state);
  }
  output.end(null, null);
  say(io, `Task ${id} has ended. Its final state is unknown, because it is no longer stored.`);
  return EXIT.DONE;
}
