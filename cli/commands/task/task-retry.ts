import type { Command } from 'commander';
import { taskToJson } from '../../../shared/task/view.js';
import { withClient } from '../../client/open.js';
import { EXIT, usageError } from '../../errors.js';
import { addFilterOptions } from '../../filter-options.js';
import type { Io } from '../../io.js';
import { printData, printJson } from '../../text/output.js';
import { taskLine } from '../../text/task-text.js';
import { type BulkFlags, addBulkOptions, isBulk, runBulkCommand } from './bulk.js';

export function addTaskRetry(task: Command, io: Io): void {
  const retry = task.command('retry').description('run failed, cancelled or skipped tasks again: by id, or all that a filter selects');
  addBulkOptions(addFilterOptions(retry.argument('[ids...]', 'task ids')))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task retry 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task retry task-1 task-2 -o json
  taskfleet task retry --name invoice.send --finished-after 1h --dry-run
  taskfleet task retry --state failed,cancelled --tag tenant:7 --yes

Each task gets its full number of attempts again, and its stop is cleared. Of given ids, if one task cannot be retried, none is.
By a filter, the default --state is failed; tasks that fail after the start are left out, and a repetition does what is left.
Exit codes: 1 if a task is still live or has completed, 3 if one was not found.`,
    )
    .action(async (ids: string[], _flags: unknown, command: Command) => {
      io.exitCode = await retryTasks(io, ids, command.optsWithGlobals<BulkFlags>());
    });
}

async function retryTasks(io: Io, ids: readonly string[], flags: BulkFlags): Promise<number> {
  if (ids.length > 0 === isBulk(flags)) throw usageError('Pass either task ids or a filter such as --name; --all for every failed task.');
  if (isBulk(flags)) return runBulkCommand(io, 'retry', flags);
  if (flags.dryRun) throw usageError('--dry-run needs a filter.');
  const tasks = await withClient(io, flags, (client) => client.retry(ids));
  if (flags.output === 'json') printJson(io, tasks.map(taskToJson));
  else for (const task of tasks) printData(io, taskLine(task));
  return EXIT.DONE;
}
