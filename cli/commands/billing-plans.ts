import type { Command } from 'commander';
import { planToJson } from '../../shared/records/billing-plan.js';
import { withClient } from '../client/open.js';
import { EXIT } from '../exit-codes.js';
import type { GlobalOptions } from '../global-options.js';
import { outputWidth, printData, printJson, say } from '../text/output.js';
import { invalidPlanText, planTable } from '../text/plan-text.js';

const PLANS_EXAMPLES = `
Examples:
  taskfleet billing plans
  taskfleet billing plans -o json | jq -r '.[] | select(.active) | .id'

Prices in JSON are in minor units: 1200 is 12.00 USD.
Exit code 1 if a plan is invalid; the others are still listed.`;

export function addBillingPlans(billing: Command): void {
  billing
    .command('plans')
    .description('list the billing plans in display order')
    .addHelpText('after', PLANS_EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      process.exitCode = await listPlans(command.optsWithGlobals<GlobalOptions>());
    });
}

async function listPlans(globals: GlobalOptions): Promise<number> {
  const { plans, invalid } = await withClient(globals, (client) => client.plans());
  if (globals.output === 'json') printJson(plans.map(planToJson));
  else if (plans.length > 0) for (const line of planTable(plans, new Date(), outputWidth())) printData(line);
  else if (invalid.length === 0) say('No billing plans yet. To create them: taskfleet billing init-plans');
  for (const plan of invalid) say(invalidPlanText(plan));
  return invalid.length > 0 ? EXIT.TASK_FAILED : EXIT.DONE;
}
