import { type Command, InvalidArgumentError, Option } from 'commander';
import { WHEN_BUSY, type WhenBusy } from '../../../shared/limiter/policy.js';
import { DEDUPE_MODES, type DedupeMode, type DedupeOptions } from '../../../shared/task/dedupe.js';
import { withClient } from '../../client/open.js';
import { usageError } from '../../errors.js';
import { readInput } from '../../input.js';
import type { Io } from '../../io.js';
import { type GlobalOptions, collected, wholeNumber } from '../../options.js';
import { printAdded } from './added-task.js';

interface EnqueueFlags extends GlobalOptions {
  readonly input: string;
  readonly item?: string;
  readonly tag?: readonly string[];
  readonly id?: string;
  readonly delay?: number;
  readonly priority?: number;
  readonly deadline?: Date;
  readonly whenBusy?: WhenBusy;
  readonly onBusy?: WhenBusy;
  readonly dedupeKey?: string;
  readonly dedupeMode?: DedupeMode;
  readonly dedupeWithin?: number;
  readonly wait?: true;
}

export function addTaskEnqueue(task: Command, io: Io): void {
  task
    .command('enqueue')
    .description('enqueue a task, built-in or from TASK_MODULES')
    .argument('<name>', 'task name, for example fleet.canary')
    .option('--input <json>', 'input: JSON, @file, or - for standard input', '{}')
    .option('--item <item>', 'what the task belongs to, such as a chat, document or user')
    .option('--tag <tag>', 'label for filters, such as tenant:7; may be repeated', collected)
    .option('--id <id>', 'task id; enqueueing the same id again adds nothing (default: a new UUIDv7)')
    .option('--delay <ms>', 'delay before the first attempt, in ms', wholeNumber(0, 315_360_000_000))
    .option('--priority <n>', '1 (first) to 2097151 (last); 0 comes before all', wholeNumber(0, 2_097_151))
    .option('--deadline <time>', 'latest start, in ISO 8601, such as 2030-01-31T12:00:00Z', time)
    .addOption(
      new Option(
        '--when-busy <what>',
        'if the key, or without concurrency limits the item, is busy: wait, fail, stop the previous tasks, or replace those in line',
      ).choices(WHEN_BUSY),
    )
    .addOption(new Option('--on-busy <what>', 'older name of --when-busy').choices(WHEN_BUSY))
    .option('--dedupe-key <key>', 'add nothing while a task of this name stands for the key; print that task')
    .addOption(
      new Option('--dedupe-mode <mode>', 'how long a task stands for its key: see below (default: while-live)').choices(DEDUPE_MODES),
    )
    .option('--dedupe-within <ms>', 'the time of throttle and debounce, in ms', wholeNumber(1, 315_360_000_000))
    .option('--wait', 'wait until the task ends, then print it')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet task enqueue fleet.canary --input '{"run_ms":3000}' --wait
  taskfleet task enqueue chat.completion --item chat-7 --input @question.json --when-busy stop-previous
  taskfleet task enqueue models.refresh --dedupe-key all --dedupe-mode throttle --dedupe-within 60000
  jq -n '{path:"docs"}' | taskfleet task enqueue document.index --input - -o json

A task stands for its key: while-live, until it ends or is stopped; throttle, for the time from its enqueue; debounce, until it starts,
the time after the last enqueue, with the input of that.
document.index reads files below the workers' DOCUMENT_ROOT, and fails if that is not set.
Over the API, only tasks that the dashboard knows can be enqueued.
Exit codes with --wait: 0 completed, 1 failed, 4 cancelled.`,
    )
    .action(async (name: string, _flags: unknown, command: Command) => {
      io.exitCode = await enqueueTask(io, name, command.optsWithGlobals<EnqueueFlags>());
    });
}

async function enqueueTask(io: Io, name: string, flags: EnqueueFlags): Promise<number> {
  const input = await readInput(io, flags.input);
  return withClient(io, flags, async (client) => {
    const { item, tag: tags, id, delay, priority, deadline, whenBusy, onBusy } = flags;
    const options = { item, tags, id, delay, priority, deadline, whenBusy, onBusy, dedupe: dedupeOf(flags) };
    const enqueued = await client.enqueue(name, input, options);
    return printAdded(io, client, enqueued, flags);
  });
}

function dedupeOf({ dedupeKey: key, dedupeMode: mode, dedupeWithin: withinMs }: EnqueueFlags): DedupeOptions | undefined {
  if (key !== undefined) return { key, mode, withinMs };
  if (mode === undefined && withinMs === undefined) return undefined;
  throw usageError('--dedupe-mode and --dedupe-within need --dedupe-key.');
}

function time(text: string): Date {
  const parsed = new Date(text);
  if (Number.isNaN(parsed.getTime())) throw new InvalidArgumentError('Expected an ISO 8601 time such as 2030-01-31T12:00:00Z.');
  return parsed;
}
