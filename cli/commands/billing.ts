import type { Command } from 'commander';
import { addBillingInitPlans } from './billing-init-plans.js';
import { addBillingPlans } from './billing-plans.js';

const EXAMPLES = `
Examples:
  taskfleet billing init-plans --include-annual
  taskfleet billing plans`;

export function addBilling(program: Command): void {
  const billing = program.command('billing').helpCommand(false).description('create and list billing plans').addHelpText('after', EXAMPLES);
  for (const add of [addBillingInitPlans, addBillingPlans]) add(billing);
}
