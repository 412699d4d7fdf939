import type { Command } from 'commander';
import { addTaskEnqueue } from './task-enqueue.js';
import { addTaskList } from './task-list.js';
import { addTaskRetry } from './task-retry.js';
import { addTaskShow } from './task-show.js';
import { addTaskStop } from './task-stop.js';
import { addTaskWatch } from './task-watch.js';

const EXAMPLES = `
Examples:
  taskfleet task enqueue fleet.canary --input '{"run_ms":30000}' --item demo
  taskfleet task list
  taskfleet task stop --item demo`;

export function addTask(program: Command): void {
  const task = program
    .command('task')
    .helpCommand(false)
    .description('enqueue, list, show, stop, retry and watch tasks')
    .addHelpText('after', EXAMPLES);
  for (const add of [addTaskEnqueue, addTaskList, addTaskShow, addTaskStop, addTaskRetry, addTaskWatch]) add(task);
}
