import type { Command } from 'commander';
import { REDIS_DIR } from '../client/open.js';
import { wholeNumber } from '../number-option.js';
import type { UpFlags } from '../fleet/up.js';

const UP_EXAMPLES = `
Examples:
  taskfleet up
  taskfleet up --workers 4 --no-dashboard
  TASK_MODULES=./tasks.js taskfleet up

Without REDIS_URL, starts a redis-server with its data in ${REDIS_DIR}, so that queued tasks survive a restart.
The dashboard listens on API_HOST and API_PORT, or the next free port.
On Ctrl+C, running tasks have SHUTDOWN_TIMEOUT_MS to finish; a second Ctrl+C exits at once.`;

export function addUp(program: Command): void {
  program
    .command('up')
    .description('run a fleet on this machine: workers, a dashboard and, without REDIS_URL, a Redis')
    .option('--workers <n>', 'number of worker processes', wholeNumber(1, 64), 2)
    .option('--no-dashboard', 'do not run a dashboard')
    .addHelpText('after', UP_EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      const { up } = await import('../fleet/up.js');
      process.exitCode = await up(command.optsWithGlobals<UpFlags>());
    });
}
