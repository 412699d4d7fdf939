import type { Command } from 'commander';
import { addScheduleList } from './schedule-list.js';
import { addScheduleRemove } from './schedule-remove.js';
import { addScheduleRun } from './schedule-run.js';

const EXAMPLES = `
Examples:
  taskfleet schedule list
  taskfleet schedule run models.refresh --wait

Create schedules in code, with producer.schedules.upsert. Settings control the built-in ones.`;

export function addSchedule(program: Command): void {
  const schedule = program
    .command('schedule')
    .helpCommand(false)
    .description('list, run and remove schedules')
    .addHelpText('after', EXAMPLES);
  for (const add of [addScheduleList, addScheduleRun, addScheduleRemove]) add(schedule);
}
