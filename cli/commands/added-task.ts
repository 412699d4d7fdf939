import type { EnqueuedTask, TaskView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { isTerminal } from '../../shared/task/state.js';
import { taskToJson } from '../../shared/task/view.js';
import type { FleetClient } from '../client/client.js';
import { EXIT, exitCodeOfState } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { interruptible } from '../process.js';
import { printData, printJson, say } from '../text/output.js';
import { taskDetails, taskLine } from '../text/task-text.js';

/** Prints a task that was just added; with `wait`, waits for the task to end first. Returns the exit code. */
export async function printAdded(
  io: Io,
  client: FleetClient,
  added: EnqueuedTask,
  flags: GlobalOptions & { readonly wait?: true },
): Promise<number> {
  const task = (await client.get(added.id)) ?? viewOf(added);
  if (added.duplicate) say(io, `Task ${added.id} already exists (${task.state}); nothing was added.`);
  if (added.superseded.length > 0) say(io, `Superseded and stopped: ${added.superseded.join(', ')}`);
  if (flags.wait) return printEnd(io, await untilEnded(io, client, task, flags), flags);
  if (flags.output === 'json') printJson(io, taskToJson(task));
  else printData(io, taskLine(task));
  return EXIT.DONE;
}

function untilEnded(io: Io, client: FleetClient, task: TaskView, { output }: GlobalOptions): Promise<TaskView> {
  const notice = (): string => `Stopped waiting; task ${task.id} keeps running. To stop it: taskfleet task stop ${task.id}`;
  return interruptible(io, notice, async (signal) => {
    if (output === 'text') say(io, `Task ${task.id} is ${task.state}. Waiting for it to finish…`);
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

function printEnd(io: Io, task: TaskView, { output }: GlobalOptions): number {
  if (output === 'json') printJson(io, taskToJson(task));
  else for (const line of taskDetails(task, Date.now())) printData(io, line);
  return isTerminal(task.state) ? exitCodeOfState(task.state) : EXIT.INTERNAL;
}

/** Describes a task that ended, and was removed, before it could be read. */
function viewOf({ id, name, queue, item }: EnqueuedTask): TaskView {
  const unknown = { progress: null, result: null, error: null, problem: null, stop: null, startedAt: null, finishedAt: null, worker: null };
  return { id, name, queue, item, state: 'queued', attempt: 0, attempts: null, enqueuedAt: new Date(), ...unknown };
}
