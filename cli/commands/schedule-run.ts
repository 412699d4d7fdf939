import type { Command } from 'commander';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { printAdded } from '../text/task-end.js';

interface RunFlags extends GlobalOptions {
  readonly wait?: true;
}

const RUN_EXAMPLES = `
Examples:
  taskfleet schedule run models.refresh --wait
  taskfleet schedule run nightly-report

Enqueues one task now; the regular times do not change. If a task of the schedule is still running, the overlap policy applies.
Exit code 3 if there is no such schedule; with --wait: 0 completed, 1 failed, 4 cancelled.`;

export function addScheduleRun(schedule: Command): void {
  schedule
    .command('run')
    .description("enqueue a schedule's task now")
    .argument('<id>', 'schedule id')
    .option('--wait', 'wait until the task ends, then print it')
    .addHelpText('after', RUN_EXAMPLES)
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<RunFlags>();
      process.exitCode = await withClient(flags, async (client) => printAdded(client, await client.schedules.runNow(id), flags));
    });
}
