import type { Command } from 'commander';
import { pauseText } from '../../dashboard/page/parts/waiting-text.js';
import { type QueueView, queueToJson } from '../../shared/queue/queue-view.js';
import { apiOf } from '../client/api-address.js';
import { withClient } from '../client/open.js';
import { QUEUE_COLUMNS } from '../columns/queue-columns.js';
import { usageError } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { type ColumnFlags, checkColumns, columnsOption, printList } from '../text/columns.js';
import { oneLine, printJson, say } from '../text/output.js';
import { formatAgo } from '../text/table.js';

function addList(queue: Command, io: Io): void {
  queue
    .command('list')
    .description('list the queues, with their tasks by state, rates and workers')
    .addOption(columnsOption(QUEUE_COLUMNS))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet queue list
  taskfleet queue list --columns name,queued,oldest,workers,slots
  taskfleet queue list -o json | jq -r '.[] | select(.paused).name'

A queue with shards is one line. QUEUED tasks are ready to run, those IN LINE wait for a limit; OLDEST is the longest wait of the queued
ones. IN/MIN and OUT/MIN are the tasks enqueued and ended in the last minute, WORKERS the live ones that fetch from the queue.`,
    )
    .action((_flags: unknown, command: Command) => listQueues(io, command.optsWithGlobals<ColumnFlags>()));
}

async function listQueues(io: Io, flags: ColumnFlags): Promise<void> {
  checkColumns(flags);
  const queues = await withClient(io, flags, (client) => client.queues.list());
  if (flags.output === 'json') printJson(io, queues.map(queueToJson));
  else if (queues.length === 0) say(io, 'No queues. (A queue appears with its first task or worker.)');
  else printList(io, QUEUE_COLUMNS, queues, flags);
}

interface PauseFlags extends GlobalOptions {
  readonly reason?: string;
  readonly by?: string;
}

function addPause(queue: Command, io: Io): void {
  queue
    .command('pause')
    .description('pause a queue: workers start no further task of it')
    .argument('<name>', 'name of the queue, as in the definitions')
    .option('--reason <text>', 'why; shown with each of its tasks')
    .option('--by <who>', "who (default: your user name; over the API always the token's name)")
    .addHelpText(
      'after',
      `
Examples:
  taskfleet queue pause chat --reason 'the model is down'
  taskfleet queue resume chat

Pauses all shards, for plain BullMQ workers too. Running tasks go on, and tasks can be enqueued and stopped as ever. A queue that is paused
already keeps the record of who paused it. Exit code 3 if there is no such queue.`,
    )
    .action(async (name: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<PauseFlags>();
      if (flags.by !== undefined && apiOf(io, flags))
        throw usageError("--by needs --redis: over the API, a pause is recorded under the token's name.");
      const { reason, by } = flags;
      show(io, flags, await withClient(io, flags, (client) => client.queues.pause(name, { reason, by })));
    });
}

function addResume(queue: Command, io: Io): void {
  queue
    .command('resume')
    .description('resume a paused queue')
    .argument('<name>', 'name of the queue, as in the definitions')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet queue resume chat

Resumes all shards, no matter who paused them. Exit code 3 if there is no such queue.`,
    )
    .action(async (name: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions>();
      show(io, flags, await withClient(io, flags, (client) => client.queues.resume(name)));
    });
}

/** Prints the state of a queue after a change. */
function show(io: Io, { output }: GlobalOptions, queue: QueueView): void {
  if (output === 'json') return printJson(io, queueToJson(queue));
  const { paused, counts, builtIn } = queue;
  say(
    io,
    oneLine(
      `${paused === null ? `Queue ${queue.name} runs` : pausedSentence(queue.name, paused)}. ${counts.queued} queued, ${counts.running} running.`,
    ),
  );
  if (paused !== null && builtIn)
    say(io, "Warning: this is the fleet's own queue. Until it is resumed, nothing is repaired after a crash, and no bulk makes progress.");
}

/** `Queue chat is paused by alice: the model is down (5m ago)`. */
function pausedSentence(queue: string, { by, at, reason }: NonNullable<QueueView['paused']>): string {
  const text = pauseText({ queue, by, reason });
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${at === null ? '' : ` (${formatAgo(Date.now() - at.getTime())})`}`;
}

export function defineQueue(queue: Command, io: Io): void {
  queue.addHelpText(
    'after',
    `
Examples:
  taskfleet queue list
  taskfleet queue pause chat --reason 'the model is down'`,
  );
  for (const add of [addList, addPause, addResume]) add(queue, io);
}
