import type { Command } from 'commander';
import type { EnqueuedTask } from '../../producer/index.js';
import { planToJson } from '../../shared/records/billing-plan.js';
import { type BillingInitPlansOutput, billingInitPlans } from '../../worker/builtin/definitions.js';
import type { FleetClient } from '../client/client.js';
import { withClient } from '../client/open.js';
import { EXIT } from '../errors.js';
import { invocationOf } from '../invocation.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { interruptible } from '../process.js';
import { oneLine, outputWidth, printData, printJson, say } from '../text/output.js';
import { PlanOutput, invalidPlanText, planTable, summaryText } from '../text/plan-text.js';

function addBillingPlans(billing: Command, io: Io): void {
  billing
    .command('plans')
    .description('list the billing plans in display order')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet billing plans
  taskfleet billing plans -o json | jq -r '.[] | select(.active) | .id'

Prices in JSON are in minor units: 1200 is 12.00 USD.
Exit code 1 if a plan is invalid; the others are still listed.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      io.exitCode = await listPlans(io, command.optsWithGlobals<GlobalOptions>());
    });
}

async function listPlans(io: Io, globals: GlobalOptions): Promise<number> {
  const { plans, invalid } = await withClient(io, globals, (client) => client.plans());
  if (globals.output === 'json') printJson(io, plans.map(planToJson));
  else if (plans.length > 0) for (const line of planTable(plans, new Date(), outputWidth(io))) printData(io, line);
  else if (invalid.length === 0) say(io, `No billing plans yet. To create them: ${invocationOf(io)} billing init-plans`);
  for (const plan of invalid) say(io, invalidPlanText(plan));
  return invalid.length > 0 ? EXIT.TASK_FAILED : EXIT.DONE;
}

interface InitPlansFlags extends GlobalOptions {
  readonly includeAnnual?: true;
  readonly includePromo?: true;
  readonly force?: true;
}

/** If no worker takes the task within this time, the user may have none running. */
const WORKER_EXPECTED_MS = 3_000;

function addBillingInitPlans(billing: Command, io: Io): void {
  billing
    .command('init-plans')
    .description('create the missing billing plans')
    .option('--include-annual', 'include the annual plans, at a discount')
    .option('--include-promo', 'include the promotional plans, each with a code and an end date')
    .option('--force', 'also update existing plans to their templates; created_at stays')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet billing init-plans
  taskfleet billing init-plans --include-annual --include-promo
  taskfleet billing init-plans --force -o json | jq .updated

Existing plans are skipped, so running the command again completes a partial run.
Ctrl+C stops watching; the task keeps running.
Exit codes: 1 the task failed, 4 it was stopped.`,
    )
    .action((_flags: unknown, command: Command) => initPlans(io, command.optsWithGlobals<InitPlansFlags>()));
}

async function initPlans(io: Io, flags: InitPlansFlags): Promise<void> {
  const { includeAnnual = false, includePromo = false, force = false } = flags;
  const json = flags.output === 'json';
  const summary = await withClient(io, flags, async (client) => {
    const task = await client.enqueue(billingInitPlans, { include_annual: includeAnnual, include_promo: includePromo, force });
    const notice = (): string => `Stopped watching; task ${task.id} keeps running. To stop it: ${invocationOf(io)} task stop ${task.id}`;
    const output = new PlanOutput(io, { lines: !json, bar: io.stderr.isTTY === true });
    return interruptible(io, notice, (signal) => follow(client, task, output, signal));
  });
  if (json) printJson(io, summary);
  else printData(io, summaryText(summary));
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

export function defineBilling(billing: Command, io: Io): void {
  billing.addHelpText(
    'after',
    `
Examples:
  taskfleet billing init-plans --include-annual
  taskfleet billing plans`,
  );
  for (const add of [addBillingInitPlans, addBillingPlans]) add(billing, io);
}
