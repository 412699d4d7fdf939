import type { EnqueuedTask, TaskView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { isTerminal } from '../../shared/task/state.js';
import { taskToJson } from '../../shared/task/view.js';
import type { FleetClient } from '../client/client.js';
import { EXIT, exitCodeOfState } from '../exit-codes.js';
import type { GlobalOptions } from '../global-options.js';
import { printData, printJson, say } from './output.js';
import { interruptible } from '../signals.js';
import { taskDetails, taskLine } from './task-text.js';

/** Prints a task that was just added; with `wait`, waits for the task to end first. Returns the exit code. */
export async function printAdded(
  client: FleetClient,
  added: EnqueuedTask,
  flags: GlobalOptions & { readonly wait?: true },
): Promise<number> {
  const task = (await client.get(added.id)) ?? viewOf(added);
  if (added.duplicate) say(`Task ${added.id} already exists (${task.state}); nothing was added.`);
  if (added.superseded.length > 0) say(`Superseded and stopped: ${added.superseded.join(', ')}`);
  if (flags.wait) return printEnd(await untilEnded(client, task, flags), flags);
  if (flags.output === 'json') printJson(taskToJson(task));
  else printData(taskLine(task));
  return EXIT.DONE;
}

function untilEnded(client: FleetClient, task: TaskView, { output }: GlobalOptions): Promise<TaskView> {
  const goesOn = (): string => `Stopped waiting; task ${task.id} keeps running. To stop it: taskfleet task stop ${task.id}`;
  return interruptible(goesOn, async (signal) => {
    if (output === 'text') say(`Task ${task.id} is ${task.state}. Waiting for it to finish…`);
    try {
      const result = await client.result(task.id, { signal });
      // A task without retention is gone by now; only its result is known.
      return (await client.get(task.id)) ?? { ...task, state: 'completed', result, finishedAt: new Date() };
    } catch (error) {
      if (!isFleetError(error, 'TASK_FAILED', 'TASK_CANCELLED')) throw error;
      const state = error.code === 'TASK_FAILED' ? 'failed' : 'cancelled';
      return (await client.get(task.id)) ?? { ...task, state, error: error.message, finishedAt: new Date() };
    }
  });
}

function printEnd(task: TaskView, { output }: GlobalOptions): number {
  if (output === 'json') printJson(taskToJson(task));
  else for (const line of taskDetails(task, Date.now())) printData(line);
  return isTerminal(task.state) ? exitCodeOfState(task.state) : EXIT.INTERNAL;
}

/** Describes a task that ended, and was removed, before it could be read. */
function viewOf({ id, name, queue, item }: EnqueuedTask): TaskView {
  return {
    ...{
      id,
      name,
      queue,
      item,
      state: 'queued',
      attempt: 0,
      attempts: null,
      progress: null,
      result: null,
      error: null,
      problem: null,
      stop: null,
    },
    ...{ enqueuedAt: new Date(), startedAt: null, finishedAt: null, worker: null },
  };
}
