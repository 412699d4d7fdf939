import { type Command, Option } from 'commander';
import { wholeNumber } from '../number-option.js';
import type { DashboardFlags } from '../processes/dashboard.js';

const EXAMPLES = `
Examples:
  taskfleet dashboard
  REDIS_URL=redis://host:6379 API_TOKENS='…' taskfleet dashboard --host 0.0.0.0
  taskfleet token create --name ada --role operator     makes an entry for API_TOKENS

Without API_TOKENS and JWTs (API_JWT_ISSUER …) it listens on loopback only, and everybody on this machine may do
everything. TASK_MODULES says which tasks of your own may be enqueued over HTTP. SIGTERM or Ctrl+C lets requests end until
SHUTDOWN_TIMEOUT_MS; a second one ends it at once.`;

export function addDashboard(program: Command): void {
  program
    .command('dashboard')
    .description('run the dashboard: HTTP API and pages')
    .option('--host <host>', 'where to listen (instead of API_HOST)')
    .option('--port <port>', 'the port, 0 for any free one (instead of API_PORT)', wholeNumber(0, 65_535))
    // Given by `taskfleet up` to the one that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText('after', EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      const { serve } = await import('../processes/dashboard.js');
      return serve(command.optsWithGlobals<DashboardFlags>());
    });
}
