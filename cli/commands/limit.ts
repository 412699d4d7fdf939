import type { Command } from 'commander';
import { limitText } from '../../dashboard/page/parts/waiting-text.js';
import { FleetError } from '../../shared/errors.js';
import { EVERY_KEY } from '../../shared/limiter/limit-id.js';
import { type LimitView, limitToJson } from '../../shared/limiter/list/limit-view.js';
import { MAX_PLACES } from '../../shared/limiter/policy.js';
import { MAX_PAGE_SIZE } from '../../shared/limits.js';
import { formatMs } from '../../shared/time.js';
import { withClient } from '../client/open.js';
import type { Io } from '../io.js';
import { type GlobalOptions, wholeNumber } from '../options.js';
import { type ColumnFlags, type ListColumn, checkColumns, columnsOption, printList } from '../text/columns.js';
import { oneLine, printJson, say } from '../text/output.js';
import { formatAge, formatUntil, wholeUnits } from '../text/table.js';

const COLUMNS: readonly ListColumn<LimitView>[] = [
  { name: 'name', flexible: true, text: ({ name }) => oneLine(name) },
  { name: 'key', flexible: true, text: ({ key }) => key && oneLine(key) },
  { name: 'limit', text: limitNumber, tone: ({ problem, limit }) => (problem === null ? (limit === 0 ? 'warning' : null) : 'bad') },
  { name: 'source', text: ({ source }) => source },
  { name: 'running', text: ({ kind, key, running }) => (kind === 'concurrency' && key !== EVERY_KEY ? String(running) : null) },
  { name: 'waiting', text: ({ key, waiting }) => (key === EVERY_KEY ? null : String(waiting)) },
  { name: 'oldest', text: ({ waitingSince }, now) => waitingSince && formatAge(now - waitingSince.getTime()) },
  { name: 'next', text: ({ nextAt }, now) => nextAt && formatUntil(nextAt.getTime() - now) },
];

/** `3`, `10 per 1m`, `fair`. */
function limitNumber({ limit, perMs, kind, problem }: LimitView): string | null {
  if (limit === null && problem !== null) return '(unreadable)';
  if (perMs === null) return kind === 'fair' ? kind : limit === null ? null : String(limit);
  return `${limit ?? '-'} per ${wholeUnits(perMs) ?? formatMs(perMs)}`;
}

interface ListFlags extends ColumnFlags {
  readonly name?: string;
  readonly after?: string;
  readonly limit: number;
}

function addLimitList(limit: Command, io: Io): void {
  limit
    .command('list')
    .description('list limits, first the keys whose tasks have waited longest')
    .option('--name <name>', 'only this task name, or group:<name>')
    .option('--limit <number>', 'maximum number of limits', wholeNumber(1, MAX_PAGE_SIZE), 100)
    .option('--after <cursor>', 'continue after the end of the previous page')
    .addOption(columnsOption(COLUMNS))
    .addHelpText(
      'after',
      `
Examples:
  taskfleet limit list
  taskfleet limit list --name chat.completion
  taskfleet limit list -o json | jq -r '.limits[] | select(.waiting > 0).key'

Lists each key with a line, then what was set and what the workers publish. KEY is '*' for a limit on each key, '-' for a limit on
all tasks of the name. SOURCE set: at run time. OLDEST is how long the key has had a line, NEXT when a rate admits its next task.`,
    )
    .action((_flags: unknown, command: Command) => listLimits(io, command.optsWithGlobals<ListFlags>()));
}

async function listLimits(io: Io, flags: ListFlags): Promise<void> {
  checkColumns(flags);
  const { name, after, limit } = flags;
  const { limits, next } = await withClient(io, flags, (client) => client.limits.list({ name, after, limit }));
  if (flags.output === 'json') return printJson(io, { limits: limits.map(limitToJson), next });
  if (limits.length === 0) return say(io, 'No limits. (Workers publish the limits of their definitions when they start.)');
  printList(io, COLUMNS, limits, flags);
  if (next !== null) say(io, `There are more: --after ${JSON.stringify(next)}`);
}

interface KeyFlags extends GlobalOptions {
  readonly key?: string;
}

const KEY_OPTION = ['--key <key>', "the key that tasks line up by; '*' for every key without a setting of its own"] as const;

function addLimitSet(limit: Command, io: Io): void {
  limit
    .command('set')
    .description('set how many tasks may run at once')
    .argument('<name>', 'task name, or group:<name>')
    .argument('<limit>', `number of tasks, 0 to ${MAX_PLACES}; 0 lets no further task start`, wholeNumber(0, MAX_PLACES))
    .option(...KEY_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  taskfleet limit set chat.completion 50                    all tasks of the name
  taskfleet limit set chat.completion 3 --key tenant:7      one key
  taskfleet limit set chat.completion 2 --key '*'           every other key
  taskfleet limit set group:gpu 0                           pause a shared limit

Wins over the definitions until cleared. Waiting tasks start at once; running tasks are not ended.
Exit code 3 if no worker has published such a limit.`,
    )
    .action(async (name: string, number: number, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<KeyFlags>();
      const view = await withClient(io, flags, (client) => client.limits.set(name, flags.key ?? null, number));
      if (flags.output === 'json') printJson(io, limitToJson(view));
      else say(io, `Limit of ${describe(view)}: ${view.limit}. Running ${view.running}, waiting ${view.waiting}.`);
    });
}

function addLimitClear(limit: Command, io: Io): void {
  limit
    .command('clear')
    .description('clear what was set, so that the definitions decide again')
    .argument('<name>', 'task name, or group:<name>')
    .option(...KEY_OPTION)
    .addHelpText(
      'after',
      `
Examples:
  taskfleet limit clear chat.completion
  taskfleet limit clear chat.completion --key tenant:7

Exit code 3 if nothing was set.`,
    )
    .action(async (name: string, _flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<KeyFlags>();
      const key = flags.key ?? null;
      const cleared = await withClient(io, flags, (client) => client.limits.clear(name, key));
      if (!cleared) throw new FleetError('LIMIT_NOT_FOUND', `No limit is set for ${describe({ name, key })}.`, { details: { name, key } });
      if (flags.output === 'json') printJson(io, { name, key, cleared });
      else say(io, `Cleared the limit of ${describe({ name, key })}.`);
    });
}

function describe({ name, key }: Pick<LimitView, 'name' | 'key'>): string {
  const owner = limitText({ kind: 'concurrency', name, key: null });
  return oneLine(key === null ? owner : key === EVERY_KEY ? `each key of ${owner}` : `${key} of ${owner}`);
}

export function defineLimit(limit: Command, io: Io): void {
  limit.addHelpText(
    'after',
    `
Examples:
  taskfleet limit list
  taskfleet limit set chat.completion 3 --key tenant:7

Definitions state limits with concurrency, rate and fair.`,
  );
  for (const add of [addLimitList, addLimitSet, addLimitClear]) add(limit, io);
}
