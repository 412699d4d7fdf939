import type { Command } from 'commander';
import { FleetError } from '../../shared/errors.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { printJson, say } from '../text/output.js';

const REMOVE_EXAMPLES = `
Examples:
  taskfleet schedule remove nightly-report

Also removes the schedule's next task; a running task continues. Exit code 3 if there is no such schedule.`;

export function addScheduleRemove(schedule: Command): void {
  schedule
    .command('remove')
    .description('remove a schedule')
    .argument('<id>', 'schedule id')
    .addHelpText('after', REMOVE_EXAMPLES)
    .action((id: string, _flags: unknown, command: Command) => removeSchedule(id, command.optsWithGlobals<GlobalOptions>()));
}

async function removeSchedule(id: string, globals: GlobalOptions): Promise<void> {
  const removed = await withClient(globals, (client) => client.schedules.remove(id));
  if (!removed) throw new FleetError('SCHEDULE_NOT_FOUND', `No schedule ${JSON.stringify(id)}.`, { details: { id } });
  if (globals.output === 'json') printJson({ id, removed });
  else say(`Removed schedule ${id}.`);
}
