import type { Command } from 'commander';
import type { Io } from './io.js';

/** A subcommand of `taskfleet`. Its module is loaded only to run it, or to print its help. */
interface LazyCommand {
  readonly name: string;
  readonly description: string;
  /** Whether the help leaves it out. Default false. */
  readonly hidden?: boolean;
  /** Returns the function that defines the command's arguments, options, subcommands and action. */
  readonly load: () => Promise<(command: Command, io: Io) => void>;
}

/** All subcommands, in the order of the help. */
export const COMMANDS: readonly LazyCommand[] = [
  {
    name: 'up',
    description: 'run a fleet on this machine: workers, a dashboard and, without REDIS_URL, a Redis',
    load: async () => (await import('./commands/fleet.js')).defineUp,
  },
  {
    name: 'worker',
    description: 'run one worker process; list, drain and resume workers',
    load: async () => (await import('./commands/worker.js')).defineWorker,
  },
  {
    name: 'dashboard',
    description: 'run the dashboard (HTTP API and web pages)',
    load: async () => (await import('./commands/fleet.js')).defineDashboard,
  },
  {
    name: 'task',
    description: 'enqueue, list, show, stop, retry and watch tasks, and read their logs',
    load: async () => (await import('./commands/task/task.js')).defineTask,
  },
  {
    name: 'top',
    description: 'watch queues, workers and running tasks live, and stop tasks',
    load: async () => (await import('./commands/top.js')).defineTop,
  },
  {
    name: 'limit',
    description: 'list limits, and set them at run time',
    load: async () => (await import('./commands/limit.js')).defineLimit,
  },
  {
    name: 'queue',
    description: 'list, pause and resume queues',
    load: async () => (await import('./commands/queue.js')).defineQueue,
  },
  {
    name: 'schedule',
    description: 'list, run and remove schedules',
    load: async () => (await import('./commands/schedule.js')).defineSchedule,
  },
  {
    name: 'billing',
    description: 'create and list billing plans',
    load: async () => (await import('./commands/billing.js')).defineBilling,
  },
  {
    name: 'token',
    description: 'create tokens for the dashboard',
    load: async () => (await import('./commands/token.js')).defineToken,
  },
  {
    name: 'doctor',
    description: 'check Redis and the fleet, and suggest fixes',
    load: async () => (await import('./commands/doctor.js')).defineDoctor,
  },
  {
    name: 'completion',
    description: 'print a script that makes a shell complete commands and names',
    load: async () => (await import('./commands/completion.js')).defineCompletion,
  },
  {
    name: 'complete',
    description: 'answer the completion scripts',
    hidden: true,
    load: async () => (await import('./commands/completion.js')).defineComplete,
  },
];
