import type { Command } from 'commander';
import { taskToJson } from '../../shared/task/view.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { printData, printJson } from '../text/output.js';
import { taskLine } from '../text/task-text.js';

const RETRY_EXAMPLES = `
Examples:
  taskfleet task retry 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task retry task-1 task-2 -o json
  taskfleet task list --state failed -o json | jq -r '.[].id' | xargs taskfleet task retry

Each task gets its full number of attempts again, and its stop is cleared. If one task cannot be retried, none is.
Exit codes: 1 if a task is still live or has completed, 3 if one was not found.`;

export function addTaskRetry(task: Command): void {
  task
    .command('retry')
    .description('run failed or cancelled tasks again')
    .argument('<ids...>', 'task ids')
    .addHelpText('after', RETRY_EXAMPLES)
    .action((ids: string[], _flags: unknown, command: Command) => retryTasks(ids, command.optsWithGlobals<GlobalOptions>()));
}

async function retryTasks(ids: readonly string[], globals: GlobalOptions): Promise<void> {
  const tasks = await withClient(globals, (client) => client.retry(ids));
  if (globals.output === 'json') printJson(tasks.map(taskToJson));
  else for (const task of tasks) printData(taskLine(task));
}
