import type { Command } from 'commander';
import { formatMs } from '../../shared/duration.js';
import { type ScheduleView, scheduleToJson } from '../../shared/schedule/view.js';
import { formatAge, wholeUnits } from '../age.js';
import { withClient } from '../connection.js';
import type { GlobalOptions } from '../global-options.js';
import { oneLine, outputWidth, printData, printJson, say } from '../output.js';
import { renderTable } from '../table.js';

const EXAMPLES = `
Examples:
  taskfleet schedule list
  taskfleet schedule list -o json | jq -r '.[] | select(.next_at == null).id'

DUE is when, NEXT in how long. A task that is due while the one before is going is dropped (overlap skip), or is the next
in turn (queue).`;

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
    .description("list all schedules, the fleet's own among them")
    .addHelpText('after', EXAMPLES)
    .action((_flags: unknown, command: Command) => listSchedules(command.optsWithGlobals<GlobalOptions>()));
}

async function listSchedules(globals: GlobalOptions): Promise<void> {
  const schedules = await withClient(globals, (client) => client.schedules.list());
  if (globals.output === 'json') printJson(schedules.map(scheduleToJson));
  else if (schedules.length === 0) say("No schedules. (The fleet's own are made by its first worker.)");
  else
    for (const line of renderTable(
      COLUMNS,
      schedules.map((one) => cells(one, Date.now())),
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
