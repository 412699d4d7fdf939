import type { Command } from 'commander';
import type { EnqueuedTask } from '../../producer/index.js';
import { type BillingInitPlansOutput, billingInitPlans } from '../../worker/builtin/definitions.js';
import type { FleetClient } from '../client/client.js';
import { withClient } from '../client/open.js';
import type { GlobalOptions } from '../global-options.js';
import { oneLine, printData, printJson } from '../text/output.js';
import { PlanOutput } from '../text/plan-output.js';
import { summaryText } from '../text/plan-text.js';
import { interruptible } from '../signals.js';

interface InitPlansFlags extends GlobalOptions {
  readonly includeAnnual?: true;
  readonly includePromo?: true;
  readonly force?: true;
}

const INIT_PLANS_EXAMPLES = `
Examples:
  taskfleet billing init-plans
  taskfleet billing init-plans --include-annual --include-promo
  taskfleet billing init-plans --force -o json | jq .updated

Existing plans are skipped, so running the command again completes a partial run.
Ctrl+C stops watching; the task keeps running.
Exit codes: 1 the task failed, 4 it was stopped.`;

/** If no worker takes the task within this time, the user may have none running. */
const WORKER_EXPECTED_MS = 3_000;

export function addBillingInitPlans(billing: Command): void {
  billing
    .command('init-plans')
    .description('create the missing billing plans')
    .option('--include-annual', 'include the annual plans, at a discount')
    .option('--include-promo', 'include the promotional plans, each with a code and an end date')
    .option('--force', 'also update existing plans to their templates; created_at stays')
    .addHelpText('after', INIT_PLANS_EXAMPLES)
    .action((_flags: unknown, command: Command) => initPlans(command.optsWithGlobals<InitPlansFlags>()));
}

async function initPlans(flags: InitPlansFlags): Promise<void> {
  const { includeAnnual = false, includePromo = false, force = false } = flags;
  const json = flags.output === 'json';
  const summary = await withClient(flags, async (client) => {
    const task = await client.enqueue(billingInitPlans, { include_annual: includeAnnual, include_promo: includePromo, force });
    const goesOn = (): string => `Stopped watching; task ${task.id} keeps running. To stop it: taskfleet task stop ${task.id}`;
    const output = new PlanOutput({ lines: !json, bar: process.stderr.isTTY });
    return interruptible(goesOn, (signal) => follow(client, task, output, signal));
  });
  if (json) printJson(summary);
  else printData(summaryText(summary));
}

/** @throws FleetError `TASK_FAILED`, naming the plan that failed; TaskCancelled */
async function follow(
  client: FleetClient,
  task: EnqueuedTask<BillingInitPlansOutput>,
  output: PlanOutput,
  signal: AbortSignal,
): Promise<BillingInitPlansOutput> {
  const noWorker = `Task ${task.id} is waiting for a worker. If none is running, start one: taskfleet worker`;
  const waiting = setTimeout(() => output.notice(noWorker), WORKER_EXPECTED_MS);
  try {
    for await (const event of client.events(task.id, { signal })) {
      if (event.type !== 'state' || event.state !== 'queued') clearTimeout(waiting);
      if (event.type === 'state' && event.state === 'retrying')
        output.notice(`${oneLine((await client.get(task.id))?.error ?? 'The attempt failed')}; retrying.`);
      output.event(event);
    }
  } finally {
    clearTimeout(waiting);
    output.close();
  }
  // The events may have gaps; the task's result has none.
  return client.result(task, { signal });
}
