import type { Command } from 'commander';
import { FleetError } from '../../../shared/errors.js';
import { taskToJson } from '../../../shared/task/view.js';
import { withClient } from '../../client/open.js';
import type { Io } from '../../io.js';
import type { GlobalOptions } from '../../options.js';
import { paintOf } from '../../text/colour.js';
import { printJson, printLine } from '../../text/output.js';
import { taskDetails } from '../../text/task-text.js';
import { addTaskEnqueue } from './task-enqueue.js';
import { addTaskList } from './task-list.js';
import { addTaskLogs } from './task-logs.js';
import { addTaskRetry } from './task-retry.js';
import { addTaskStop } from './task-stop.js';
import { addTaskWatch } from './task-watch.js';

function addTaskShow(task: Command, io: Io): void {
  task
    .command('show')
    .description('show a task, live or ended')
    .argument('<id>', 'task id')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task show 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task show my-task -o json | jq .result

Exit code 3 if there is no such task.`,
    )
    .action((id: string, _flags: unknown, command: Command) => showTask(io, id, command.optsWithGlobals<GlobalOptions>()));
}

async function showTask(io: Io, id: string, globals: GlobalOptions): Promise<void> {
  const task = await withClient(io, globals, (client) => client.get(id));
  if (task === null) throw new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`);
  if (globals.output === 'json') printJson(io, taskToJson(task));
  else for (const line of taskDetails(task, Date.now(), paintOf(io, io.stdout))) printLine(io, line);
}

export function defineTask(task: Command, io: Io): void {
  task.addHelpText(
    'after',
    `
Examples:
  taskfleet task enqueue fleet.canary --input '{"run_ms":30000}' --item demo
  taskfleet task list
  taskfleet task stop --item demo`,
  );
  for (const add of [addTaskEnqueue, addTaskList, addTaskShow, addTaskStop, addTaskRetry, addTaskWatch, addTaskLogs]) add(task, io);
}
