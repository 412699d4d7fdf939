import { setTimeout as delay } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { type WorkerView, workerToJson } from '../../producer/index.js';
import { apiOf } from '../client/api-address.js';
import type { WorkerClient } from '../client/client.js';
import { REDIS_DIR, withClient } from '../client/open.js';
import { WORKER_COLUMNS } from '../columns/worker-columns.js';
import { EXIT, usageError } from '../errors.js';
import type { WorkerFlags } from '../fleet/worker-process.js';
import { invocationOf } from '../invocation.js';
import type { Io } from '../io.js';
import { type GlobalOptions, wholeNumber } from '../options.js';
import { interruptible } from '../process.js';
import { type ColumnFlags, checkColumns, columnsOption, printList } from '../text/columns.js';
import { oneLine, printJson, say } from '../text/output.js';

/** Without `--dead`, the list has the workers that died within this time, in ms. */
const LATELY_MS = 3_600_000;
/** Interval of looks at a worker that ends its tasks, in ms. */
const LOOK_MS = 500;
/** Longest wait for a drained worker, in ms. */
const MAX_WAIT_MS = 86_400_000;

interface ListFlags extends ColumnFlags {
  readonly dead?: true;
}

function addList(worker: Command, io: Io): void {
  worker
    .command('list')
    .description('list workers')
    .addOption(columnsOption(WORKER_COLUMNS))
    .option('--dead', 'also those that died within a week')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet worker list
  taskfleet worker list --columns id,state,version,node,definitions
  taskfleet worker list --dead -o json | jq -r '.[] | select(.alive | not) | .id + " " + .last_words'

Lists live workers, and those that died within the last hour. STATE drained: it ended its tasks and fetches no others; draining:
it still runs some. DELAY is the 99th percentile of the delay of its event loop. DIFFERS names definitions that another worker,
or a producer of the last hour, has otherwise.`,
    )
    .action((_flags: unknown, command: Command) => listWorkers(io, command.optsWithGlobals<ListFlags>()));
}

async function listWorkers(io: Io, flags: ListFlags): Promise<void> {
  checkColumns(flags);
  const all = await withClient(io, flags, ({ workers }) => workers.list());
  const isShown = ({ alive, beatAt }: WorkerView): boolean =>
    alive || flags.dead === true || Date.now() - (beatAt?.getTime() ?? 0) <= LATELY_MS;
  const workers = all.filter(isShown);
  if (flags.output === 'json') return printJson(io, workers.map(workerToJson));
  if (workers.length === 0) return say(io, `No workers. Start some: ${invocationOf(io)} up, or ${invocationOf(io)} worker.`);
  printList(io, WORKER_COLUMNS, workers, flags);
}

interface DrainFlags extends GlobalOptions {
  readonly reason?: string;
  readonly by?: string;
  readonly wait?: number;
}

function addDrain(worker: Command, io: Io): void {
  worker
    .command('drain')
    .description('let a worker end its running tasks and fetch no others')
    .argument('<id>', 'worker id')
    .option('--reason <reason>', 'shown with the worker')
    .option('--by <who>', "who (default: your user name; over the API always the token's name)")
    .option('--wait <ms>', 'wait until its running tasks have ended', wholeNumber(0, MAX_WAIT_MS))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet worker drain host-1234-1a2b3c4d --reason 'new kernel'
  taskfleet worker drain host-1234-1a2b3c4d --wait 60000 && ssh host sudo reboot

The drain holds until the worker is resumed or ends, also over outages of Redis; other workers go on. Exit code 3 if no live
worker has that id; with --wait, 1 if it still runs tasks at the end.`,
    )
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<DrainFlags>();
      if (flags.by !== undefined && apiOf(io, flags))
        throw usageError("--by needs --redis: over the API, a drain is recorded under the token's name.");
      io.exitCode = await withClient(io, flags, ({ workers }) => drain(io, workers, id, flags));
    });
}

async function drain(io: Io, workers: WorkerClient, id: string, { reason, by, wait = 0, output }: DrainFlags): Promise<number> {
  const drained = await workers.drain(id, { reason, by });
  const view = wait === 0 ? drained : await untilIdle(io, workers, drained, wait);
  const busy = view.running.length;
  if (output === 'json') printJson(io, workerToJson(view));
  else {
    const state = view.alive
      ? `${busy === 0 ? 'no tasks run' : `${busy} ${busy === 1 ? 'task runs' : 'tasks run'}`} on it`
      : 'it has ended';
    say(io, `Drained worker ${oneLine(id)}: ${state}. Undo: ${invocationOf(io)} worker resume ${oneLine(id)}`);
  }
  return wait > 0 && view.alive && busy > 0 ? EXIT.TASK_FAILED : EXIT.DONE;
}

/** Waits until the worker follows the drain and runs nothing, or the time is over. Returns its last state. */
function untilIdle(io: Io, workers: WorkerClient, drained: WorkerView, waitMs: number): Promise<WorkerView> {
  const deadline = performance.now() + waitMs;
  return interruptible(
    io,
    () => `Interrupted; worker ${oneLine(drained.id)} stays drained.`,
    async (signal) => {
      let view = drained;
      while (view.alive && (view.fetching !== false || view.running.length > 0) && performance.now() < deadline) {
        await delay(Math.min(LOOK_MS, Math.max(0, deadline - performance.now())), undefined, { signal });
        view = (await workers.list()).find(({ id }) => id === drained.id) ?? { ...view, alive: false, running: [] };
      }
      return view;
    },
  );
}

function addResume(worker: Command, io: Io): void {
  worker
    .command('resume')
    .description('let a drained worker fetch tasks again')
    .argument('<id>', 'worker id')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet worker resume host-1234-1a2b3c4d

Exit code 3 if no live worker has that id.`,
    )
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GlobalOptions>();
      const view = await withClient(io, flags, ({ workers }) => workers.resume(id));
      if (flags.output === 'json') printJson(io, workerToJson(view));
      else say(io, `Resumed worker ${oneLine(id)}.`);
    });
}

export function defineWorker(worker: Command, io: Io): void {
  worker
    // `taskfleet up` passes it to the workers that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText(
      'after',
      `
Examples:
  REDIS_URL=redis://host:6379 taskfleet worker
  TASK_MODULES=./tasks.js WORKER_CONCURRENCY=20 taskfleet worker
  WORKER_QUEUES='chat,report-*,!maintenance' BUILTIN_TASKS=off taskfleet worker
  taskfleet worker list
  taskfleet worker drain host-1234-1a2b3c4d

Without a subcommand, runs one worker process. On SIGTERM or Ctrl+C, running tasks have SHUTDOWN_TIMEOUT_MS to finish, then go
back to their queues; a second signal exits at once. Without REDIS_URL, uses the embedded Redis of this folder (${REDIS_DIR})
and starts it if it is not running.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      const { work } = await import('../fleet/worker-process.js');
      io.exitCode = await work(io, command.optsWithGlobals<WorkerFlags>());
    });
  for (const add of [addList, addDrain, addResume]) add(worker, io);
}
