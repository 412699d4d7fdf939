import type { Command } from 'commander';
import { FleetError } from '../../shared/errors.js';
import { taskToJson } from '../../shared/task/view.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { printData, printJson } from '../text/output.js';
import { taskDetails } from '../text/task-text.js';

const SHOW_EXAMPLES = `
Examples:
  taskfleet task show 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task show my-task -o json | jq .result

Exit code 3 if there is no such task.`;

export function addTaskShow(task: Command): void {
  task
    .command('show')
    .description('show a task, live or ended')
    .argument('<id>', 'task id')
    .addHelpText('after', SHOW_EXAMPLES)
    .action((id: string, _flags: unknown, command: Command) => showTask(id, command.optsWithGlobals<GlobalOptions>()));
}

async function showTask(id: string, globals: GlobalOptions): Promise<void> {
  const task = await withClient(globals, (client) => client.get(id));
  if (task === null) throw new FleetError('TASK_NOT_FOUND', `Task ${id} not found: it never existed or its retention has expired.`);
  if (globals.output === 'json') printJson(taskToJson(task));
  else for (const line of taskDetails(task, Date.now())) printData(line);
}
