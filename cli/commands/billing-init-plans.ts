import type { Command } from 'commander';
import type { EnqueuedTask } from '../../producer/index.js';
import { type BillingInitPlansOutput, billingInitPlans } from '../../shared/task/builtin/index.js';
import type { FleetClient } from '../client.js';
import { withClient } from '../connection.js';
import type { GlobalOptions } from '../global-options.js';
import { oneLine, printData, printJson } from '../output.js';
import { PlanOutput } from '../plan-output.js';
import { summaryText } from '../plan-text.js';
import { interruptible } from '../signals.js';

interface InitPlansFlags extends GlobalOptions {
  readonly includeAnnual?: true;
  readonly includePromo?: true;
  readonly force?: true;
}

const EXAMPLES = `
Examples:
  taskfleet billing init-plans
  taskfleet billing init-plans --include-annual --include-promo
  taskfleet billing init-plans --force -o json | jq .updated

A plan that is there already is skipped, so running it again finishes what did not get through.
Ctrl+C ends the watching, not the task.
Exit codes: 1 the task failed, 4 it was stopped.`;

/** A task that no worker has taken by then: the person may have none. */
const WORKER_EXPECTED_MS = 3_000;

export function addBillingInitPlans(billing: Command): void {
  billing
    .command('init-plans')
    .description('create the billing plans that are not there yet')
    .option('--include-annual', 'the annual plans too, at a discount')
    .option('--include-promo', 'the promotional plans too, each with a code and an end date')
    .option('--force', 'also update the plans that are there, each to what its template says; created_at stays')
    .addHelpText('after', EXAMPLES)
    .action((_flags: unknown, command: Command) => initPlans(command.optsWithGlobals<InitPlansFlags>()));
}

async function initPlans(flags: InitPlansFlags): Promise<void> {
  const { includeAnnual = false, includePromo = false, force = false } = flags;
  const json = flags.output === 'json';
  const summary = await withClient(flags, async (client) => {
    const task = await client.enqueue(billingInitPlans, { include_annual: includeAnnual, include_promo: includePromo, force });
    const goesOn = (): string => `Stopped watching; task ${task.id} goes on. Stop it with: taskfleet task stop ${task.id}`;
    const output = new PlanOutput({ lines: !json, bar: process.stderr.isTTY });
    return interruptible(goesOn, (signal) => follow(client, task, output, signal));
  });
  if (json) printJson(summary);
  else printData(summaryText(summary));
}

/** @throws FleetError `TASK_FAILED`, with the plan at which it failed; TaskCancelled */
async function follow(
  client: FleetClient,
  task: EnqueuedTask<BillingInitPlansOutput>,
  output: PlanOutput,
  signal: AbortSignal,
): Promise<BillingInitPlansOutput> {
  const noWorker = `Task ${task.id} waits for a worker. If there is none, start one with: taskfleet worker`;
  const waiting = setTimeout(() => output.notice(noWorker), WORKER_EXPECTED_MS);
  try {
    for await (const event of client.events(task.id, { signal })) {
      if (event.type !== 'state' || event.state !== 'queued') clearTimeout(waiting);
      if (event.type === 'state' && event.state === 'retrying')
        output.notice(`${oneLine((await client.get(task.id))?.error ?? 'The run failed')}; it is tried again.`);
      output.event(event);
    }
  } finally {
    clearTimeout(waiting);
    output.close();
  }
  // What was shown may have gaps; the task's own answer has none.
  return client.result(task, { signal });
}
