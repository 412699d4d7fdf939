import { type Command, Option } from 'commander';
import { REDIS_DIR } from '../client/open.js';
import type { DashboardFlags } from '../fleet/dashboard-process.js';
import type { UpFlags } from '../fleet/up.js';
import type { Io } from '../io.js';
import { wholeNumber } from '../options.js';

export function defineUp(up: Command, io: Io): void {
  up.option('--workers <n>', 'number of worker processes', wholeNumber(1, 64), 2)
    .option('--no-dashboard', 'do not run a dashboard')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet up
  taskfleet up --workers 4 --no-dashboard
  TASK_MODULES=./tasks.js taskfleet up

Without REDIS_URL, starts a redis-server with its data in ${REDIS_DIR}, so that queued tasks survive a restart.
The dashboard listens on API_HOST and API_PORT, or the next free port.
On Ctrl+C, running tasks have SHUTDOWN_TIMEOUT_MS to finish; a second Ctrl+C exits at once.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      const { up: run } = await import('../fleet/up.js');
      io.exitCode = await run(io, command.optsWithGlobals<UpFlags>());
    });
}

export function defineDashboard(dashboard: Command, io: Io): void {
  dashboard
    .option('--host <host>', 'address to listen on (overrides API_HOST)')
    .option('--port <port>', 'port to listen on, 0 for any free port (overrides API_PORT)', wholeNumber(0, 65_535))
    // `taskfleet up` passes it to the dashboard that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText(
      'after',
      `
Examples:
  taskfleet dashboard
  REDIS_URL=redis://host:6379 API_TOKENS='…' taskfleet dashboard --host 0.0.0.0
  taskfleet token create --name ada --role operator     prints an entry for API_TOKENS

Without API_TOKENS or JWTs (API_JWT_ISSUER …) the dashboard listens on loopback only and gives every user of this machine full
access. TASK_MODULES lists the modules whose tasks may be enqueued over HTTP, besides the built-in ones. On SIGTERM or Ctrl+C,
open requests have SHUTDOWN_TIMEOUT_MS to finish; a second signal exits at once.`,
    )
    .action(async (_flags: unknown, command: Command) => {
      const { serve } = await import('../fleet/dashboard-process.js');
      io.exitCode = await serve(io, command.optsWithGlobals<DashboardFlags>());
    });
}
