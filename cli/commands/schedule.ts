import type { Command } from 'commander';
import { FleetError } from '../../shared/errors.js';
import { type ScheduleView, scheduleToJson } from '../../shared/schedule/view.js';
import { formatMs } from '../../shared/time.js';
import { withClient } from '../client/open.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { oneLine, outputWidth, printData, printJson, say } from '../text/output.js';
import { formatAge, renderTable, wholeUnits } from '../text/table.js';
import { printAdded } from './added-task.js';

const COLUMNS = [
  { header: 'ID', flexible: true },
  { header: 'TASK', flexible: true },
  { header: 'DUE', flexible: true },
  { header: 'NEXT' },
  { header: 'OVERLAP' },
  { header: 'RUNNING' },
  { header: 'ITEM', flexible: true },
] as const;

function addScheduleList(schedule: Command, io: Io): void {
  schedule
    .command('list')
    .description('list all schedules, including the built-in ones')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet schedule list
  taskfleet schedule list -o json | jq -r '.[] | select(.next_at == null).id'

DUE is the interval or cron expression, NEXT the time until the next task. If a task is due while the previous one is still
running, it is dropped (OVERLAP skip) or waits for it (queue).`,
    )
    .action((_flags: unknown, command: Command) => listSchedules(io, command.optsWithGlobals<GlobalOptions>()));
}

async function listSchedules(io: Io, globals: GlobalOptions): Promise<void> {
  const schedules = await withClient(io, globals, (client) => client.schedules.list());
  if (globals.output === 'json') printJson(io, schedules.map(scheduleToJson));
  else if (schedules.length === 0) say(io, 'No schedules. (The first worker creates the built-in ones.)');
  else
    for (const line of renderTable(
      COLUMNS,
      schedules.map((schedule) => cells(schedule, Date.now())),
      outputWidth(io),
    ))
      printData(io, line);
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

interface RunFlags extends GlobalOptions {
  readonly wait?: true;
}

function addScheduleRun(schedule: Command, io: Io): void {
  schedule
    .command('run')
    .description("enqueue a schedule's task now")
    .argument('<id>', 'schedule id')
    .option('--wait', 'wait until the task ends, then print it')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet schedule run models.refresh --wait
  taskfleet schedule run nightly-report

Enqueues one task now; the regular times do not change. If a task of the schedule is still running, the overlap policy applies.
Exit code 3 if there is no such schedule; with --wait: 0 completed, 1 failed, 4 cancelled.`,
    )
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<RunFlags>();
      io.exitCode = await withClient(io, flags, async (client) => printAdded(io, client, await client.schedules.runNow(id), flags));
    });
}

function addScheduleRemove(schedule: Command, io: Io): void {
  schedule
    .command('remove')
    .description('remove a schedule')
    .argument('<id>', 'schedule id')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet schedule remove nightly-report

Also removes the schedule's next task; a running task continues. Exit code 3 if there is no such schedule.`,
    )
    .action((id: string, _flags: unknown, command: Command) => removeSchedule(io, id, command.optsWithGlobals<GlobalOptions>()));
}

async function removeSchedule(io: Io, id: string, globals: GlobalOptions): Promise<void> {
  const removed = await withClient(io, globals, (client) => client.schedules.remove(id));
  if (!removed) throw new FleetError('SCHEDULE_NOT_FOUND', `No schedule ${JSON.stringify(id)}.`, { details: { id } });
  if (globals.output === 'json') printJson(io, { id, removed });
  else say(io, `Removed schedule ${id}.`);
}

export function addSchedule(program: Command, io: Io): void {
  const schedule = program
    .command('schedule')
    .helpCommand(false)
    .description('list, run and remove schedules')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet schedule list
  taskfleet schedule run models.refresh --wait

Create schedules in code, with producer.schedules.upsert. Settings control the built-in ones.`,
    );
  for (const add of [addScheduleList, addScheduleRun, addScheduleRemove]) add(schedule, io);
}
