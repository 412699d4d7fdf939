import { type Command, InvalidArgumentError, Option } from 'commander';
import { FleetError } from '../shared/errors.js';
import { type FilterJson, filterOfJson } from '../shared/task/filter/filter-json.js';
import { STATE_GROUPS, TASK_ORDERS, type TaskFilter, checkFilter, statesOf } from '../shared/task/filter/filter.js';
import { TASK_STATES } from '../shared/task/state.js';
import { usageError } from './errors.js';
import { collected } from './options.js';

/** The flags of a filter, as commander returns them. */
export interface FilterFlags {
  readonly state?: string;
  readonly name?: string;
  readonly item?: string;
  readonly queue?: string;
  readonly tag?: readonly string[];
  readonly worker?: string;
  readonly error?: string;
  readonly enqueuedAfter?: string;
  readonly enqueuedBefore?: string;
  readonly finishedAfter?: string;
  readonly finishedBefore?: string;
  readonly olderThan?: string;
  readonly search?: string;
}

/** Adds the options that select tasks. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('--state <states>', `${STATE_GROUPS.join(', ')}, or states separated by commas: ${TASK_STATES.join(', ')}`, states)
    .option('--name <name>', 'task name, or the start of names followed by *')
    .option('--item <item>', 'item, or the start of items followed by *')
    .option('--queue <queue>', 'queue with its shards, or one shard')
    .option('--tag <tag>', 'tag; repeat for tasks that have all of several tags', collected)
    .option('--worker <id>', 'worker that runs the task, or ran its last attempt')
    .option('--error <text>', 'text that the error contains, ignoring case')
    .option('--enqueued-after <time>', 'in ISO 8601, or a duration back from now: 1h')
    .option('--enqueued-before <time>', 'the same')
    .option('--finished-after <time>', 'the same')
    .option('--finished-before <time>', 'the same')
    .option('--older-than <duration>', 'enqueued (live tasks) or ended (ended tasks) longer ago than this: 30s, 15m, 1h, 7d')
    .option('--search <text>', 'start of the id, item, name or a tag');
}

/** Adds `--order`, for commands that list. */
export function addOrderOption(command: Command): Command {
  return command.addOption(
    new Option('--order <order>', 'live tasks by their enqueue, ended tasks by their end (default: newest)').choices(TASK_ORDERS),
  );
}

/** Returns the filter of the flags. @throws CliError `USAGE`; FleetError `INVALID_ITEM` */
export function filterOf(flags: FilterFlags, now: number): TaskFilter {
  const { state, name, item, queue, tag, worker, error, search: q } = flags;
  const json: FilterJson = {
    ...{ state, name, item, queue, tag, worker, error, q },
    enqueued_after: flags.enqueuedAfter,
    enqueued_before: flags.enqueuedBefore,
    finished_after: flags.finishedAfter,
    finished_before: flags.finishedBefore,
    older_than: flags.olderThan,
  };
  try {
    const filter = filterOfJson(json, now);
    checkFilter(filter);
    return filter;
  } catch (thrown) {
    if (!(thrown instanceof FleetError) || thrown.code !== 'INVALID_OPTION') throw thrown;
    throw usageError(thrown.message);
  }
}

/** Returns whether the flags select by any condition. */
export function hasFilter(flags: FilterFlags): boolean {
  const { state, name, item, queue, tag, worker, error, enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore } = flags;
  const conditions = [state, name, item, queue, tag, worker, error, enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore];
  return [...conditions, flags.olderThan, flags.search].some((condition) => condition !== undefined);
}

function states(text: string): string {
  try {
    statesOf(filterOfJson({ state: text }, 0).state);
    return text;
  } catch {
    throw new InvalidArgumentError(`Expected ${[...STATE_GROUPS, ...TASK_STATES].join(', ')}.`);
  }
}
