import type { Command } from 'commander';
import { formatMs } from '../../shared/time.js';
import { type ScheduleView, scheduleToJson } from '../../shared/schedule/view.js';
import { formatAge, wholeUnits } from '../text/age.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { oneLine, outputWidth, printData, printJson, say } from '../text/output.js';
import { renderTable } from '../text/table.js';

const LIST_EXAMPLES = `
Examples:
  taskfleet schedule list
  taskfleet schedule list -o json | jq -r '.[] | select(.next_at == null).id'

DUE is the interval or cron expression, NEXT the time until the next task. If a task is due while the previous one is still
running, it is dropped (OVERLAP skip) or waits for it (queue).`;

const COLUMNS = [
  { header: 'ID', flexible: true },
  { header: 'TASK', flexible: true },
  { header: 'DUE', flexible: true },
  { header: 'NEXT' },
  { header: 'OVERLAP' },
  { header: 'RUNNING' },
  { header: 'ITEM', flexible: true },
] as const;

export function addScheduleList(schedule: Command): void {
  schedule
    .command('list')
    .description('list all schedules, including the built-in ones')
    .addHelpText('after', LIST_EXAMPLES)
    .action((_flags: unknown, command: Command) => listSchedules(command.optsWithGlobals<GlobalOptions>()));
}

async function listSchedules(globals: GlobalOptions): Promise<void> {
  const schedules = await withClient(globals, (client) => client.schedules.list());
  if (globals.output === 'json') printJson(schedules.map(scheduleToJson));
  else if (schedules.length === 0) say('No schedules. (The first worker creates the built-in ones.)');
  else
    for (const line of renderTable(
      COLUMNS,
      schedules.map((schedule) => cells(schedule, Date.now())),
      outputWidth(),
    ))
      printData(line);
}

function cells(schedule: ScheduleView, now: number): string[] {
  const { id, name, builtIn, nextAt, overlap, running, item } = schedule;
  return [
    oneLine(id),
    builtIn ? '(built-in)' : name === null ? '(unreadable)' : oneLine(name),
    dueText(schedule),
    nextAt === null ? '-' : nextAt.getTime() <= now ? 'now' : formatAge(nextAt.getTime() - now),
    overlap,
    running ? 'yes' : '-',
    item === null ? '-' : oneLine(item),
  ];
}

function dueText({ everyMs, cron, timeZone, jitterMs, problem }: ScheduleView): string {
  if (problem !== null) return problem;
  const due = everyMs === null ? `${cron} ${timeZone}` : `every ${interval(everyMs)}`;
  return jitterMs === 0 ? due : `${due} + up to ${interval(jitterMs)}`;
}

function interval(ms: number): string {
  return wholeUnits(ms) ?? formatMs(ms);
}
