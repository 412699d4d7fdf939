import { type Command, Option } from 'commander';
import { wholeNumber } from '../number-option.js';
import type { DashboardFlags } from '../fleet/dashboard-process.js';

const DASHBOARD_EXAMPLES = `
Examples:
  taskfleet dashboard
  REDIS_URL=redis://host:6379 API_TOKENS='…' taskfleet dashboard --host 0.0.0.0
  taskfleet token create --name ada --role operator     prints an entry for API_TOKENS

Without API_TOKENS or JWTs (API_JWT_ISSUER …) the dashboard listens on loopback only and gives every user of this machine full
access. TASK_MODULES lists the modules whose tasks may be enqueued over HTTP, besides the built-in ones. On SIGTERM or Ctrl+C,
open requests have SHUTDOWN_TIMEOUT_MS to finish; a second signal exits at once.`;

export function addDashboard(program: Command): void {
  program
    .command('dashboard')
    .description('run the dashboard (HTTP API and web pages)')
    .option('--host <host>', 'address to listen on (overrides API_HOST)')
    .option('--port <port>', 'port to listen on, 0 for any free port (overrides API_PORT)', wholeNumber(0, 65_535))
    // `taskfleet up` passes it to the dashboard that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText('after', DASHBOARD_EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      const { serve } = await import('../fleet/dashboard-process.js');
      return serve(command.optsWithGlobals<DashboardFlags>());
    });
}
