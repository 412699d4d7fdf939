import { createRequire } from 'node:module';
import { Command } from 'commander';
import { addBilling } from './commands/billing.js';
import { addDashboard, addUp, addWorker } from './commands/fleet.js';
import { addDoctor } from './commands/doctor.js';
import { addSchedule } from './commands/schedule.js';
import { addTask } from './commands/task.js';
import { addToken } from './commands/token.js';
import { addGlobalOptions } from './options.js';

const EXAMPLES = `
Examples:
  taskfleet up                                 a fleet on this machine, with an embedded Redis
  taskfleet task enqueue fleet.canary --input '{"run_ms":5000}' --wait
  taskfleet task list
  taskfleet doctor --canary
  TASKFLEET_API=https://fleet.example.org TASKFLEET_TOKEN=… taskfleet task list

Exit codes: 0 done, 1 the task failed, 2 usage error, 3 not found, 4 cancelled, 69 Redis or API unreachable, 77 not permitted,
78 bad configuration.
Data goes to standard output; logs, notices and errors to standard error.`;

/** Creates the command with all subcommands. Parsing throws a CommanderError instead of exiting. */
export function createProgram(): Command {
  const program = new Command('taskfleet');
  program
    .description('Run BullMQ workers whose tasks can always be stopped.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    // main.ts reports all errors.
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .addHelpText('after', EXAMPLES);
  addGlobalOptions(program);
  for (const add of [addUp, addWorker, addDashboard, addTask, addSchedule, addBilling, addToken, addDoctor]) add(program);
  return program;
}

function version(): string {
  const manifest = createRequire(import.meta.url)('taskfleet/package.json') as { readonly version: string };
  return manifest.version;
}
