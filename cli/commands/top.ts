import type { Command } from 'commander';
import { withClient } from '../client/open.js';
import { usageError } from '../errors.js';
import type { Io } from '../io.js';
import { type GlobalOptions, wholeNumber } from '../options.js';

interface TopFlags extends GlobalOptions {
  readonly interval: number;
}

export function defineTop(top: Command, io: Io): void {
  top
    .option('--interval <seconds>', 'time between two reads', wholeNumber(1, 3_600), 2)
    .addHelpText(
      'after',
      `
Examples:
  taskfleet top
  taskfleet top --interval 5 --api https://fleet.example.org

Shows the queues with their sizes and rates, the workers, and the running tasks, the longest-running first. Keys: j and k or the arrows
select a task, s stops it after a question, r reads now, q or Ctrl+C quits. While Redis or the API is away, the head says since when the
screen is stale. Needs a terminal; for scripts: task list --watch, queue list -o json, worker list -o json.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<TopFlags>();
      if (!io.stdout.isTTY || !io.stdin.isTTY || flags.output === 'json')
        throw usageError('top needs a terminal. For scripts: task list --watch, queue list -o json, worker list -o json.');
      const { runTop } = await import('../top/top.js');
      await withClient(io, flags, (client) => runTop(io, client, 1_000 * flags.interval));
    });
}
