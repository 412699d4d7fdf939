import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import type { BulkAction, BulkResult, TaskFilter } from '../../../producer/index.js';
import { bulkReceiptToJson, outcomesText } from '../../../shared/bulk/bulk-receipt.js';
import { taskToJson } from '../../../shared/task/view.js';
import { apiOf } from '../../client/api-address.js';
import type { BulkCall, FleetClient } from '../../client/client.js';
import { withClient } from '../../client/open.js';
import { CliError, EXIT, usageError } from '../../errors.js';
import { type FilterFlags, filterOf, hasFilter } from '../../filter-options.js';
import { invocationOf } from '../../invocation.js';
import type { Io } from '../../io.js';
import type { GlobalOptions } from '../../options.js';
import { interruptible } from '../../process.js';
import { printData, printJson, say } from '../../text/output.js';
import { ProgressBar } from '../../text/progress.js';
import { taskLine } from '../../text/task-text.js';

/** The flags of a stop or retry of all tasks that match. */
export interface BulkFlags extends GlobalOptions, FilterFlags {
  readonly all?: true;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly reason?: string;
  readonly by?: string;
}

/** Adds the options of a bulk besides its filter. */
export function addBulkOptions(command: Command): Command {
  return command
    .option('--all', 'allow a filter without a condition')
    .option('--dry-run', 'show which tasks it is about, and change none')
    .option('-y, --yes', 'do not ask');
}

/** Time without a worker after which the command says so, in ms. */
const PATIENCE_MS = 5_000;

/** Whether the flags select tasks, rather than ids. */
export function isBulk(flags: BulkFlags): boolean {
  return flags.all === true || hasFilter(flags);
}

/** Stops or retries all tasks that the flags select, after a question on a terminal. Returns the exit code. */
export async function runBulkCommand(io: Io, action: BulkAction, flags: BulkFlags): Promise<number> {
  const filter = filterOf(flags, Date.now());
  if (!flags.dryRun && !flags.yes && !canAsk(io))
    throw usageError(`A ${action} by a filter needs --yes without a terminal to ask on. --dry-run shows the tasks.`);
  return withClient(io, flags, async (client) => {
    const bulk = new BulkCommand(io, client, action, filter, flags);
    if (flags.dryRun) return bulk.preview();
    if (!flags.yes && !(await bulk.isConfirmed())) return EXIT.DONE;
    return bulk.run();
  });
}

function canAsk({ stdin, stderr }: Io): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

class BulkCommand {
  #id: string | null = null;
  #done = 'Nothing is done yet.';
  #hasBegun = false;

  constructor(
    private readonly io: Io,
    private readonly client: FleetClient,
    private readonly action: BulkAction,
    private readonly filter: TaskFilter,
    private readonly flags: BulkFlags,
  ) {}

  async preview(): Promise<number> {
    const { matched, complete, first } = await this.#call({ dryRun: true });
    if (this.flags.output === 'json') printJson(this.io, { dry_run: true, matched, complete, first: first.map(taskToJson) });
    else this.#printTasks({ matched, complete, first }, printData);
    return EXIT.DONE;
  }

  /** Shows the tasks on the terminal and asks. */
  async isConfirmed(): Promise<boolean> {
    const found = await this.#call({ dryRun: true });
    this.#printTasks(found, say);
    if (found.matched === 0) return false;
    const tasks = `${found.complete ? '' : 'more than '}${countText(found.matched)}`;
    this.io.stderr.write(`${this.action === 'stop' ? 'Stop' : 'Retry'} ${tasks}? [y/N] `);
    if (/^y(es)?$/i.test(await readAnswer(this.io))) return true;
    say(this.io, 'Nothing was done.');
    return false;
  }

  async run(): Promise<number> {
    const { io, flags } = this;
    const bar = io.stderr.isTTY ? new ProgressBar(io.stderr) : null;
    const waiting = setTimeout(() => this.#sayIfWaiting(), PATIENCE_MS).unref();
    try {
      const { matched, outcomes, receipts } = await interruptible(
        io,
        () => this.#notice(),
        (signal) =>
          this.#call({
            signal,
            onBegun: (id) => (this.#id = id),
            onProgress: (now) => {
              const of = now.total === null ? '' : ` of ${now.total.toLocaleString('en')}`;
              this.#hasBegun ||= now.total !== null || now.done > 0;
              this.#done = `Done: ${now.done.toLocaleString('en')}${of} tasks (${outcomesText(now.outcomes)}).`;
              bar?.update({ done: now.done, total: now.total });
            },
          }),
      );
      bar?.hide();
      if (flags.output === 'json') printJson(io, { matched, outcomes, receipts: receipts.map(bulkReceiptToJson) });
      else printData(io, matched === 0 ? 'No tasks match.' : `${countText(matched)}: ${outcomesText(outcomes)}`);
      return EXIT.DONE;
    } catch (error) {
      // The page that was begun at the interrupt has been finished since.
      throw error instanceof CliError && error.code === 'INTERRUPTED' ? new CliError(error.code, error.exitCode, this.#notice()) : error;
    } finally {
      clearTimeout(waiting);
      bar?.hide();
    }
  }

  async #call(call: BulkCall): Promise<BulkResult> {
    const { client, filter, flags } = this;
    const { all, reason, by } = flags;
    return this.action === 'stop' ? client.stopWhere(filter, { ...call, all, reason, by }) : client.retryWhere(filter, { ...call, all });
  }

  #printTasks({ matched, complete, first }: Pick<BulkResult, 'matched' | 'complete' | 'first'>, print: typeof say): void {
    if (matched === 0) return print(this.io, 'No tasks match.');
    print(this.io, `${complete ? '' : 'More than '}${countText(matched)} would be ${this.action === 'stop' ? 'stopped' : 'retried'}:`);
    for (const task of first) print(this.io, `  ${taskLine(task)}`);
    if (matched > first.length) print(this.io, `  … and ${(matched - first.length).toLocaleString('en')} more`);
  }

  /** Says how to go on after an interrupt. */
  #notice(): string {
    if (apiOf(this.io, this.flags) === null) return `Interrupted. ${this.#done} Repeat the command to do the rest.`;
    if (this.#id === null) return 'Interrupted before the API had answered: the bulk may have begun. Repeat the command to be sure.';
    const taskfleet = invocationOf(this.io);
    return `Interrupted; the bulk goes on. ${this.#done} See: ${taskfleet} task show ${this.#id}. To end it: ${taskfleet} task stop ${this.#id}`;
  }

  #sayIfWaiting(): void {
    if (this.#id !== null && !this.#hasBegun) say(this.io, `Bulk ${this.#id} waits for a worker.`);
  }
}

/** Returns the first line of standard input; `''` at its end. */
async function readAnswer({ stdin }: Io): Promise<string> {
  const lines = createInterface({ input: stdin, terminal: false });
  for await (const line of lines) return line.trim();
  return '';
}

function countText(count: number): string {
  return count === 1 ? '1 task' : `${count.toLocaleString('en')} tasks`;
}
