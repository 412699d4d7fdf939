import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OnBusy } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { MAX_PAGE_SIZE } from '../../shared/limits.js';
import { TASK_STATES, type TaskState } from '../../shared/task/state.js';
import { taskToJson } from '../../shared/task/view.js';
import { withClient } from '../client/open.js';
import type { Io } from '../io.js';
import { type GlobalOptions, readInput, wholeNumber } from '../options.js';
import { outputWidth, printData, printJson, say } from '../text/output.js';
import { taskDetails, taskLine, taskTable } from '../text/task-text.js';
import { printAdded } from './added-task.js';
import { addTaskStop } from './task-stop.js';
import { addTaskWatch } from './task-watch.js';

interface EnqueueFlags extends GlobalOptions {
  readonly input: string;
  readonly item?: string;
  readonly id?: string;
  readonly delay?: number;
  readonly priority?: number;
  readonly deadline?: Date;
  readonly onBusy?: OnBusy;
  readonly wait?: true;
}

function addTaskEnqueue(task: Command, io: Io): void {
  task
    .command('enqueue')
    .description('enqueue a task, built-in or from TASK_MODULES')
    .argument('<name>', 'task name, for example fleet.canary')
    .option('--input <json>', 'input: JSON, @file, or - for standard input', '{}')
    .option('--item <item>', 'what the task belongs to, such as a chat, document or user')
    .option('--id <id>', 'task id; enqueueing the same id again adds nothing (default: a new UUIDv7)')
    .option('--delay <ms>', 'delay before the first attempt, in ms', wholeNumber(0, 315_360_000_000))
    .option('--priority <n>', '1 (first) to 2097151 (last); 0 comes before all', wholeNumber(0, 2_097_151))
    .option('--deadline <time>', 'latest start, in ISO 8601, such as 2030-01-31T12:00:00Z', time)
    .addOption(
      new Option('--on-busy <what>', 'if the item has live tasks: stop them, or fail (default: run alongside)').choices([
        'stop-previous',
        'reject',
      ]),
    )
    .option('--wait', 'wait until the task ends, then print it')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task enqueue fleet.canary --input '{"run_ms":3000}' --wait
  taskfleet task enqueue chat.completion --item chat-7 --input @question.json --on-busy stop-previous
  jq -n '{path:"docs"}' | taskfleet task enqueue document.index --input - -o json

document.index reads files below the workers' DOCUMENT_ROOT, and fails if that is not set.
Over the API, only tasks that the dashboard knows can be enqueued.
Exit codes with --wait: 0 completed, 1 failed, 4 cancelled.`,
    )
    .action(async (name: string, _flags: unknown, command: Command) => {
      io.exitCode = await enqueueTask(io, name, command.optsWithGlobals<EnqueueFlags>());
    });
}

async function enqueueTask(io: Io, name: string, flags: EnqueueFlags): Promise<number> {
  const input = await readInput(io, flags.input);
  return withClient(io, flags, async (client) => {
    const { item, id, delay, priority, deadline, onBusy } = flags;
    const enqueued = await client.enqueue(name, input, { item, id, delay, priority, deadline, onBusy });
    return printAdded(io, client, enqueued, flags);
  });
}

function time(text: string): Date {
  const parsed = new Date(text);
  if (Number.isNaN(parsed.getTime())) throw new InvalidArgumentError('Expected an ISO 8601 time such as 2030-01-31T12:00:00Z.');
  return parsed;
}

interface ListFlags extends GlobalOptions {
  readonly item?: string;
  readonly state?: TaskState;
  readonly name?: string;
  readonly queue?: string;
  readonly limit: number;
  readonly after?: string;
}

function addTaskList(task: Command, io: Io): void {
  task
    .command('list')
    .description('list live tasks, or tasks in one state')
    .option('--item <item>', 'only tasks of this item')
    .addOption(new Option('--state <state>', 'only tasks in this state; ended tasks are listed only with this option').choices(TASK_STATES))
    .option('--name <name>', 'only tasks with this name')
    .option('--queue <queue>', 'only tasks of this queue and its shards, or of one shard')
    .option('--limit <n>', 'maximum number of tasks', wholeNumber(1, MAX_PAGE_SIZE), 100)
    .option('--after <cursor>', 'continue after a page, with the cursor that it printed')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task list                        all live tasks, newest first
  taskfleet task list --item chat-7
  taskfleet task list --queue documents
  taskfleet task list --state failed --limit 20
  taskfleet task list -o json | jq -r '.[].id'`,
    )
    .action((_flags: unknown, command: Command) => listTasks(io, command.optsWithGlobals<ListFlags>()));
}

async function listTasks(io: Io, flags: ListFlags): Promise<void> {
  const { item, state, name, queue, limit, after } = flags;
  const page = await withClient(io, flags, (client) => client.list({ item, state, name, queue, limit, after }));
  if (flags.output === 'json') printJson(io, page.tasks.map(taskToJson));
  else if (page.tasks.length > 0) for (const line of taskTable(page.tasks, Date.now(), outputWidth(io))) printData(io, line);
  else if (page.next === null)
    say(io, state ? `No tasks are ${state}.` : 'No live tasks. (To list ended tasks, pass their state: --state completed)');
  if (page.next !== null) say(io, `More tasks follow: --after ${page.next}`);
}

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
  else for (const line of taskDetails(task, Date.now())) printData(io, line);
}

function addTaskRetry(task: Command, io: Io): void {
  task
    .command('retry')
    .description('run failed or cancelled tasks again')
    .argument('<ids...>', 'task ids')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task retry 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task retry task-1 task-2 -o json
  taskfleet task list --state failed -o json | jq -r '.[].id' | xargs taskfleet task retry

Each task gets its full number of attempts again, and its stop is cleared. If one task cannot be retried, none is.
Exit codes: 1 if a task is still live or has completed, 3 if one was not found.`,
    )
    .action((ids: string[], _flags: unknown, command: Command) => retryTasks(io, ids, command.optsWithGlobals<GlobalOptions>()));
}

async function retryTasks(io: Io, ids: readonly string[], globals: GlobalOptions): Promise<void> {
  const tasks = await withClient(io, globals, (client) => client.retry(ids));
  if (globals.output === 'json') printJson(io, tasks.map(taskToJson));
  else for (const task of tasks) printData(io, taskLine(task));
}

export function addTask(program: Command, io: Io): void {
  const task = program
    .command('task')
    .helpCommand(false)
    .description('enqueue, list, show, stop, retry and watch tasks')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task enqueue fleet.canary --input '{"run_ms":30000}' --item demo
  taskfleet task list
  taskfleet task stop --item demo`,
    );
  for (const add of [addTaskEnqueue, addTaskList, addTaskShow, addTaskStop, addTaskRetry, addTaskWatch]) add(task, io);
}
