import { type Command, Option } from 'commander';
import { TASK_STATES, type TaskState } from '../../shared/task/state.js';
import { taskToJson } from '../../shared/task/view.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { wholeNumber } from '../number-option.js';
import { outputWidth, printData, printJson, say } from '../text/output.js';
import { taskTable } from '../text/task-text.js';

interface ListFlags extends GlobalOptions {
  readonly item?: string;
  readonly state?: TaskState;
  readonly name?: string;
  readonly queue?: string;
  readonly limit: number;
  readonly after?: string;
}

const LIST_EXAMPLES = `
Examples:
  taskfleet task list                        all live tasks, newest first
  taskfleet task list --item chat-7
  taskfleet task list --queue documents
  taskfleet task list --state failed --limit 20
  taskfleet task list -o json | jq -r '.[].id'`;

export function addTaskList(task: Command): void {
  task
    .command('list')
    .description('list live tasks, or tasks in one state')
    .option('--item <item>', 'only tasks of this item')
    .addOption(new Option('--state <state>', 'only tasks in this state; ended tasks are listed only with this option').choices(TASK_STATES))
    .option('--name <name>', 'only tasks with this name')
    .option('--queue <queue>', 'only tasks of this queue and its shards, or of one shard')
    .option('--limit <n>', 'maximum number of tasks', wholeNumber(1, 1_000), 100)
    .option('--after <cursor>', 'continue after a page, with the cursor that it printed')
    .addHelpText('after', LIST_EXAMPLES)
    .action((_flags: unknown, command: Command) => listTasks(command.optsWithGlobals<ListFlags>()));
}

async function listTasks(flags: ListFlags): Promise<void> {
  const { item, state, name, queue, limit, after } = flags;
  const page = await withClient(flags, (client) => client.list({ item, state, name, queue, limit, after }));
  if (flags.output === 'json') printJson(page.tasks.map(taskToJson));
  else if (page.tasks.length > 0) for (const line of taskTable(page.tasks, Date.now(), outputWidth())) printData(line);
  else if (page.next === null)
    say(state ? `No tasks are ${state}.` : 'No live tasks. (To list ended tasks, pass their state: --state completed)');
  if (page.next !== null) say(`More tasks follow: --after ${page.next}`);
}
