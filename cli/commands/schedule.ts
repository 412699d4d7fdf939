import type { Command } from 'commander';
import { FleetError } from '../../shared/errors.js';
import { type ScheduleView, scheduleToJson } from '../../shared/schedule/view.js';
import { formatMs } from '../../shared/time.js';
import { withClient } from '../client/open.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { type ColumnFlags, type ListColumn, checkColumns, columnsOption, printList } from '../text/columns.js';
import { oneLine, printJson, say } from '../text/output.js';
import { formatAge, wholeUnits } from '../text/table.js';
import { printAdded } from './task/added-task.js';

const COLUMNS: readonly ListColumn<ScheduleView>[] = [
  { name: 'id', flexible: true, text: ({ id }) => oneLine(id) },
  { name: 'task', flexible: true, text: ({ name, builtIn }) => (builtIn ? '(built-in)' : name === null ? '(unreadable)' : oneLine(name)) },
  { name: 'due', flexible: true, text: dueText, tone: ({ problem }) => (problem === null ? null : 'bad') },
  { name: 'next', text: ({ nextAt }, now) => nextAt && (nextAt.getTime() <= now ? 'now' : formatAge(nextAt.getTime() - now)) },
  { name: 'overlap', text: ({ overlap }) => overlap },
  { name: 'running', text: ({ running }) => (running ? 'yes' : null), tone: () => 'active' },
  {
    name: 'paused',
    flexible: true,
    shown: 'filled',
    text: ({ paused }) => paused && (paused.by === null ? 'yes' : `by ${paused.by}`),
    tone: () => 'warning',
  },
  { name: 'item', flexible: true, text: ({ item }) => item && oneLine(item) },
  { name: 'queue', shown: 'chosen', text: ({ queue }) => queue },
];

function addScheduleList(schedule: Command, io: Io): void {
  schedule
    .command('list')
    .description('list all schedules, including the built-in ones')
    .addOption(columnsOption(COLUMNS))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet schedule list
  taskfleet schedule list -o json | jq -r '.[] | select(.next_at == null).id'

DUE is the interval or cron expression, NEXT the time until the next task. If a task is due while the previous one is still
running, it is dropped (OVERLAP skip) or waits for it (queue). PAUSED: its queue is paused, so no task of it starts.`,
    )
    .action((_flags: unknown, command: Command) => listSchedules(io, command.optsWithGlobals<ColumnFlags>()));
}

async function listSchedules(io: Io, flags: ColumnFlags): Promise<void> {
  checkColumns(flags);
  const schedules = await withClient(io, flags, (client) => client.schedules.list());
  if (flags.output === 'json') printJson(io, schedules.map(scheduleToJson));
  else if (schedules.length === 0) say(io, 'No schedules. (The first worker creates the built-in ones.)');
  else printList(io, COLUMNS, schedules, flags);
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

Enqueues one task now; the regular times do not change. While another task of the schedule is
live, it waits, whatever the overlap policy; several run in the order in which they were asked for.
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

export function defineSchedule(schedule: Command, io: Io): void {
  schedule.addHelpText(
    'after',
    `
Examples:
  taskfleet schedule list
  taskfleet schedule run models.refresh --wait

Create schedules in code, with producer.schedules.upsert. Settings control the built-in ones.`,
  );
  for (const add of [addScheduleList, addScheduleRun, addScheduleRemove]) add(schedule, io);
}
