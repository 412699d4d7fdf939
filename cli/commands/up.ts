import type { Command } from 'commander';
import { REDIS_DIR } from '../connection.js';
import { wholeNumber } from '../number-option.js';
import type { UpFlags } from '../processes/up.js';

const EXAMPLES = `
Examples:
  taskfleet up
  taskfleet up --workers 4 --no-dashboard
  TASK_MODULES=./tasks.js taskfleet up

Without REDIS_URL it starts a redis-server of its own with its data in ${REDIS_DIR}: what was enqueued survives a restart.
The dashboard listens on API_HOST and API_PORT, or the next free port.
Ctrl+C lets running tasks end until SHUTDOWN_TIMEOUT_MS; a second Ctrl+C ends everything at once.`;

export function addUp(program: Command): void {
  program
    .command('up')
    .description('run a whole fleet on this machine: Redis, if REDIS_URL is not set, workers and a dashboard')
    .option('--workers <n>', 'how many worker processes', wholeNumber(1, 64), 2)
    .option('--no-dashboard', 'without a dashboard')
    .addHelpText('after', EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      const { up } = await import('../processes/up.js');
      process.exitCode = await up(command.optsWithGlobals<UpFlags>());
    });
}
