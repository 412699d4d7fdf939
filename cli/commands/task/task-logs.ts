import type { Command } from 'commander';
import type { LogLine, LogOptions } from '../../../producer/index.js';
import { MAX_LOG_LINES, logLineToJson } from '../../../shared/log/task-log.js';
import type { FleetClient } from '../../client/client.js';
import { withClient } from '../../client/open.js';
import { invocationOf } from '../../invocation.js';
import type { Io } from '../../io.js';
import { type GlobalOptions, wholeNumber } from '../../options.js';
import { interruptible } from '../../process.js';
import { printData, say } from '../../text/output.js';

interface LogFlags extends GlobalOptions {
  readonly follow?: true;
  readonly lines?: number;
}

export function addTaskLogs(task: Command, io: Io): void {
  task
    .command('logs')
    .description("print a task's log: what its handler logged in all attempts")
    .argument('<id>', 'task id')
    .option('-f, --follow', 'go on with new lines until the task ends')
    .option('-n, --lines <n>', 'begin with the last n lines (default: all kept lines)', wholeNumber(0, MAX_LOG_LINES))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task logs 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task logs my-task --follow -n 20
  taskfleet task logs my-task -o json | jq -r 'select(.level == "error") | .message'

The last 1,000 lines or 256 KiB of a task are kept, from TASK_LOG_LEVEL_KEPT on. With -o json each line is JSON, with its number
as "seq". Ctrl+C stops following; the task keeps running.
Exit code 3 if there is no such task.`,
    )
    .action((id: string, _flags: unknown, command: Command) => printLog(io, id, command.optsWithGlobals<LogFlags>()));
}

async function printLog(io: Io, id: string, flags: LogFlags): Promise<void> {
  const notice = (): string => `Stopped following; task ${id} keeps running. To stop it: ${invocationOf(io)} task stop ${id}`;
  await withClient(io, flags, (client) =>
    interruptible(io, notice, async (signal) => {
      let printed = 0;
      for await (const line of linesOf(client, id, flags, signal)) {
        if (printed === 0 && flags.lines === undefined && line.seq > 1) say(io, `(${line.seq - 1} older lines are no longer kept)`);
        printData(io, flags.output === 'json' ? JSON.stringify(logLineToJson(line)) : lineText(line));
        printed += 1;
      }
      if (printed === 0 && flags.lines !== 0) say(io, `Task ${id} has no log.`);
    }),
  );
}

async function* linesOf(client: FleetClient, id: string, { follow, lines }: LogFlags, signal: AbortSignal): AsyncGenerator<LogLine> {
  if (lines === undefined) return yield* client.logs(id, { follow, signal });
  const kept: LogLine[] = [];
  for await (const line of client.logs(id, { signal })) kept.push(line);
  if (lines > 0) yield* kept.slice(-lines);
  const options: LogOptions = { after: kept.at(-1)?.seq ?? 0, follow, signal };
  if (follow) yield* client.logs(id, options);
}

/** Formats a line as it is stored; one of a plain BullMQ client is its text. */
function lineText({ at, level, attempt, message, fields }: LogLine): string {
  const head = at && level ? `${at.toISOString()} ${level.toUpperCase()} [${attempt ?? 0}] ` : '';
  return head + message + (Object.keys(fields).length > 0 ? ` ${JSON.stringify(fields)}` : '');
}
