import { type Command, InvalidArgumentError, Option } from 'commander';
import type { OnBusy } from '../../producer/index.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { wholeNumber } from '../number-option.js';
import { printAdded } from '../text/task-end.js';
import { readInput } from '../task-input.js';

interface EnqueueFlags extends GlobalOptions {
  readonly input: string;
  readonly item?: string;
  readonly id?: string;
  readonly delay?: number;
  readonly priority?: number;
  readonly deadline?: Date;
  readonly onBusy?: OnBusy;
  readonly wait?: true;
}

const ENQUEUE_EXAMPLES = `
Examples:
  taskfleet task enqueue fleet.canary --input '{"run_ms":3000}' --wait
  taskfleet task enqueue chat.completion --item chat-7 --input @question.json --on-busy stop-previous
  jq -n '{path:"docs"}' | taskfleet task enqueue document.index --input - -o json

document.index reads files below the workers' DOCUMENT_ROOT, and fails if that is not set.
Over the API, only tasks that the dashboard knows can be enqueued.
Exit codes with --wait: 0 completed, 1 failed, 4 cancelled.`;

export function addTaskEnqueue(task: Command): void {
  task
    .command('enqueue')
    .description('enqueue a task, built-in or from TASK_MODULES')
    .argument('<name>', 'task name, for example fleet.canary')
    .option('--input <json>', 'input: JSON, @file, or - for standard input', '{}')
    .option('--item <item>', 'what the task belongs to, such as a chat, document or user')
    .option('--id <id>', 'task id; enqueueing the same id again adds nothing (default: a new UUIDv7)')
    .option('--delay <ms>', 'delay before the first attempt, in ms', wholeNumber(0, 315_360_000_000))
    .option('--priority <n>', '1 (first) to 2097151 (last); 0 comes before all', wholeNumber(0, 2_097_151))
    .option('--deadline <time>', 'latest start, in ISO 8601, such as 2030-01-31T12:00:00Z', time)
    .addOption(
      new Option('--on-busy <what>', 'if the item has live tasks: stop them, or fail (default: run alongside)').choices([
        'stop-previous',
        'reject',
      ]),
    )
    .option('--wait', 'wait until the task ends, then print it')
    .addHelpText('after', ENQUEUE_EXAMPLES)
    .action(async (name: string, _flags: unknown, command: Command) => {
      process.exitCode = await enqueueTask(name, command.optsWithGlobals<EnqueueFlags>());
    });
}

async function enqueueTask(name: string, flags: EnqueueFlags): Promise<number> {
  const input = await readInput(flags.input);
  return withClient(flags, async (client) => {
    const { item, id, delay, priority, deadline, onBusy } = flags;
    const enqueued = await client.enqueue(name, input, { item, id, delay, priority, deadline, onBusy });
    return printAdded(client, enqueued, flags);
  });
}

function time(text: string): Date {
  const parsed = new Date(text);
  if (Number.isNaN(parsed.getTime())) throw new InvalidArgumentError('Expected an ISO 8601 time such as 2030-01-31T12:00:00Z.');
  return parsed;
}
