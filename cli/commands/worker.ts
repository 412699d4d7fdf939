import { type Command, Option } from 'commander';
import { REDIS_DIR } from '../client/open.js';
import type { WorkerFlags } from '../fleet/worker-process.js';

const WORKER_EXAMPLES = `
Examples:
  REDIS_URL=redis://host:6379 taskfleet worker
  TASK_MODULES=./tasks.js WORKER_CONCURRENCY=20 taskfleet worker

On SIGTERM or Ctrl+C, running tasks have SHUTDOWN_TIMEOUT_MS to finish, then go back to their queues; a second signal exits at
once. Without REDIS_URL, uses the embedded Redis of this folder (${REDIS_DIR}) and starts it if it is not running.`;

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('run one worker process')
    // `taskfleet up` passes it to the workers that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText('after', WORKER_EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      const { work } = await import('../fleet/worker-process.js');
      return work(command.optsWithGlobals<WorkerFlags>());
    });
}
