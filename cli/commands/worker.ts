import { type Command, Option } from 'commander';
import { REDIS_DIR } from '../connection.js';
import type { WorkerFlags } from '../processes/worker.js';

const EXAMPLES = `
Examples:
  REDIS_URL=redis://host:6379 taskfleet worker
  TASK_MODULES=./tasks.js WORKER_CONCURRENCY=20 taskfleet worker

SIGTERM or Ctrl+C: running tasks may end until SHUTDOWN_TIMEOUT_MS, the rest goes back to the queue. A second one ends
the worker at once. Without REDIS_URL it uses the Redis of this folder (${REDIS_DIR}), and starts it if it does not run.`;

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('run one worker process')
    // Given by `taskfleet up` to the workers that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText('after', EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      const { work } = await import('../processes/worker.js');
      return work(command.optsWithGlobals<WorkerFlags>());
    });
}
