import type { Command } from 'commander';
import { type StopReceipt, receiptOf, receiptToJson } from '../../../shared/stop/receipt.js';
import { formatMs } from '../../../shared/time.js';
import { apiOf } from '../../client/api-address.js';
import type { FleetClient } from '../../client/client.js';
import { withClient } from '../../client/open.js';
import { EXIT, usageError } from '../../errors.js';
import { addFilterOptions } from '../../filter-options.js';
import { invocationOf } from '../../invocation.js';
import type { Io } from '../../io.js';
import { wholeNumber } from '../../options.js';
import { interruptible, orAborted } from '../../process.js';
import { printData, printJson, say } from '../../text/output.js';
import { receiptText } from '../../text/task-text.js';
import { type BulkFlags, addBulkOptions, isBulk, runBulkCommand } from './bulk.js';

interface StopFlags extends BulkFlags {
  readonly wait: number;
}

/** Longer than the default grace period, so that the output shows the end even of a handler that ignores the signal. */
const DEFAULT_WAIT_MS = 10_000;

export function addTaskStop(task: Command, io: Io): void {
  const stop = task
    .command('stop')
    .description('stop tasks, whether queued, delayed or running: by id, of an item, or all that a filter selects');
  addBulkOptions(addFilterOptions(stop.argument('[ids...]', 'task ids')))
    .option('--reason <text>', 'why; stored with the task')
    .option('--by <who>', "who; stored with the task (default: your user name; over the API always the token's name)")
    .option('--wait <ms>', 'how long to wait for running tasks to end, in ms; not for a filter', wholeNumber(0, 3_600_000), DEFAULT_WAIT_MS)
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task stop 01981f6e-8f6b-7a41-b1c5-1d1f0a3c9f10
  taskfleet task stop --item chat-7 --reason 'user closed the chat'
  taskfleet task stop --item chat-7 --dry-run
  taskfleet task stop task-1 task-2 --wait 0 -o json
  taskfleet task stop --tag tenant:7 --dry-run
  taskfleet task stop --name 'report.*' --state queued --older-than 1h --yes

By a filter, also with other options than --item, it asks first; without a terminal, pass --yes. Tasks enqueued after the start are left
out, and a repetition does what is left. A recorded stop is durable and takes effect even if --wait was too short. Exit code 3 if a task was not found.`,
    )
    .action(async (ids: string[], _flags: unknown, command: Command) => {
      io.exitCode = await stopTasks(io, ids, command.optsWithGlobals<StopFlags>());
    });
}

async function stopTasks(io: Io, ids: readonly string[], flags: StopFlags): Promise<number> {
  if (ids.length > 0 === isBulk(flags)) throw usageError('Pass either task ids, --item or another filter; --all for every live task.');
  if (flags.by !== undefined && apiOf(io, flags))
    throw usageError("--by needs --redis: over the API, a stop is recorded under the token's name.");
  if (ids.length === 0 && !isOneItem(flags)) return runBulkCommand(io, 'stop', flags);
  const notice = (): string =>
    `Stopped waiting. The stop is recorded and will take effect; see: ${invocationOf(io)} task list --state stopping`;
  const receipts = await withClient(io, flags, (client) =>
    interruptible(io, notice, (signal) => orAborted(stopOrPreview(client, ids, flags), signal)),
  );
  if (flags.output === 'json') printJson(io, receipts.map(receiptToJson));
  else printReceipts(io, receipts, flags);
  return receipts.some(({ outcome }) => outcome === 'not_found') ? EXIT.NOT_FOUND : EXIT.DONE;
}

/** Whether the flags select all live tasks of one item: these are stopped without a question. */
function isOneItem({ item, ...flags }: StopFlags): boolean {
  return item !== undefined && !item.endsWith('*') && !isBulk(flags);
}

async function stopOrPreview(
  client: FleetClient,
  ids: readonly string[],
  { item, reason, by, wait, dryRun }: StopFlags,
): Promise<StopReceipt[]> {
  const options = { reason, by, waitMs: wait };
  if (item !== undefined) return client.stopItem(item, { ...options, dryRun });
  if (!dryRun) return client.stop(ids, options);
  return Promise.all(ids.map(async (id) => receiptOf(id, await client.get(id))));
}

function printReceipts(io: Io, receipts: readonly StopReceipt[], { item, wait, dryRun }: StopFlags): void {
  for (const receipt of receipts) printData(io, `${receipt.id}  ${dryRun ? dryText(receipt) : receiptText(receipt)}`);
  if (receipts.length === 0) say(io, `Item ${item} has no live tasks.`);
  const open = dryRun || wait === 0 ? 0 : receipts.filter(({ outcome }) => outcome === 'requested').length;
  if (open > 0) say(io, `${open} not settled within ${formatMs(wait)}. The stop is recorded and takes effect as soon as a worker sees it.`);
}

function dryText({ outcome, endedAs }: StopReceipt): string {
  if (outcome === 'requested') return 'would be stopped';
  return outcome === 'not_found' ? 'not found' : `has ended (${endedAs})`;
}
