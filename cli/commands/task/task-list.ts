import type { Command } from 'commander';
import { MAX_PAGE_SIZE } from '../../../shared/limits.js';
import type { TaskFilter, TaskOrder } from '../../../shared/task/filter/filter.js';
import { taskToJson } from '../../../shared/task/view.js';
import { withClient } from '../../client/open.js';
import { TASK_COLUMNS } from '../../columns/task-columns.js';
import { type FilterFlags, addFilterOptions, addOrderOption, filterOf, hasFilter } from '../../filter-options.js';
import { filterHint } from '../../hints.js';
import type { Io } from '../../io.js';
import { wholeNumber } from '../../options.js';
import { type ColumnFlags, checkColumns, columnsOption, printList } from '../../text/columns.js';
import { printData, printJson, say } from '../../text/output.js';

interface ListFlags extends ColumnFlags, FilterFlags {
  readonly limit: number;
  readonly after?: string;
  readonly order?: TaskOrder;
  readonly count?: true;
  /** In seconds; true without a value. */
  readonly watch?: number | true;
}

const WATCH_SECONDS = 2;

export function addTaskList(task: Command, io: Io): void {
  addOrderOption(addFilterOptions(task.command('list').description('list live tasks, or those that a filter selects')))
    .option('--limit <n>', 'maximum number of tasks', wholeNumber(1, MAX_PAGE_SIZE), 100)
    .option('--after <cursor>', 'continue after a page, with the cursor that it printed')
    .option('--count', 'print the number of tasks instead')
    .option('--watch [seconds]', `list again at this interval (default: ${WATCH_SECONDS}), until Ctrl+C`, wholeNumber(1, 3_600))
    .addOption(columnsOption(TASK_COLUMNS))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task list                        all live tasks, newest first
  taskfleet task list --item chat-7
  taskfleet task list --name 'invoice.*' --state failed --finished-after 1h
  taskfleet task list --state queued --older-than 15m --order oldest
  taskfleet task list --tag tenant:7 --state all --count
  taskfleet task list --state running --watch
  taskfleet task list -o json | jq -r '.[].id'

All conditions apply. Without --state, live tasks are listed; ended tasks are found while they are retained.
--watch redraws the list in place; in a pipe it prints a line for each change, with -o json a task. Ctrl+C ends it, exit code 0.`,
    )
    .action((_flags: unknown, command: Command) => listTasks(io, command.optsWithGlobals<ListFlags>()));
}

async function listTasks(io: Io, flags: ListFlags): Promise<void> {
  checkColumns(flags);
  const { limit, after, order } = flags;
  const filter = { ...filterOf(flags, Date.now()), order };
  if (flags.count) return countTasks(io, flags, filter);
  if (flags.watch !== undefined) return watchTasks(io, flags);
  const page = await withClient(io, flags, (client) => client.list({ ...filter, limit, after }));
  if (flags.output === 'json') printJson(io, page.tasks.map(taskToJson));
  else if (page.tasks.length > 0) printList(io, TASK_COLUMNS, page.tasks, flags);
  else if (page.next === null)
    say(
      io,
      hasFilter(flags)
        ? `No tasks match.${await filterHint(io, flags)}`
        : 'No live tasks. (To list ended tasks, pass their state: --state ended)',
    );
  if (page.reached !== null)
    say(io, `Searched ${page.searched} tasks, back to ${page.reached.toISOString()}: narrow the filter, or continue.`);
  if (page.next !== null) say(io, `More tasks follow: --after ${page.next}`);
}

/** Times of the filter that are relative to now are computed anew for each list. */
async function watchTasks(io: Io, flags: ListFlags): Promise<void> {
  const { limit, after, order, watch } = flags;
  const intervalMs = 1_000 * (typeof watch === 'number' ? watch : WATCH_SECONDS);
  const { watchList } = await import('./watched-list.js');
  await withClient(io, flags, (client) => {
    const read = () => client.list({ ...filterOf(flags, Date.now()), order, limit, after });
    return watchList({ io, client, flags, intervalMs, read });
  });
}

async function countTasks(io: Io, flags: ListFlags, filter: TaskFilter): Promise<void> {
  const { count, complete } = await withClient(io, flags, (client) => client.count(filter));
  if (flags.output === 'json') printJson(io, { count, complete });
  else printData(io, complete ? String(count) : `${count} or more`);
  const hint = count === 0 ? await filterHint(io, flags) : '';
  if (hint !== '') say(io, hint.trim());
}
