import { pauseText } from '../../../dashboard/page/parts/waiting-text.js';
import type { EnqueuedTask, TaskView } from '../../../producer/index.js';
import { type ErrorCode, isFleetError } from '../../../shared/errors.js';
import { type TerminalState, isTerminal } from '../../../shared/task/state.js';
import { taskToJson } from '../../../shared/task/view.js';
import type { FleetClient } from '../../client/client.js';
import { EXIT, exitCodeOfState } from '../../errors.js';
import { invocationOf } from '../../invocation.js';
import type { Io } from '../../io.js';
import type { GlobalOptions } from '../../options.js';
import { interruptible } from '../../process.js';
import { paintOf } from '../../text/colour.js';
import { oneLine, printData, printJson, printLine, say } from '../../text/output.js';
import { taskDetails, taskLine } from '../../text/task-text.js';

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
  if (task.waitingFor?.kind === 'paused') say(io, oneLine(`Note: ${pauseText(task.waitingFor)}. The task starts once it is resumed.`));
  if (flags.wait) return printEnd(io, await untilEnded(io, client, task, flags), flags);
  if (flags.output === 'json') printJson(io, taskToJson(task));
  else printData(io, taskLine(task));
  return EXIT.DONE;
}

const STATE_BY_ERROR: Partial<Record<ErrorCode, TerminalState>> = {
  TASK_FAILED: 'failed',
  TASK_CANCELLED: 'cancelled',
  TASK_SKIPPED: 'skipped',
};

function untilEnded(io: Io, client: FleetClient, task: TaskView, { output }: GlobalOptions): Promise<TaskView> {
  const notice = (): string => `Stopped waiting; task ${task.id} keeps running. To stop it: ${invocationOf(io)} task stop ${task.id}`;
  return interruptible(io, notice, async (signal) => {
    if (output === 'text') say(io, `Task ${task.id} is ${task.state}. Waiting for it to finish…`);
    try {
      const result = await client.result(task.id, { signal });
      // A task without retention is gone by now; only its result is known.
      return (await client.get(task.id)) ?? { ...task, state: 'completed', result, finishedAt: new Date() };
    } catch (error) {
      const state = isFleetError(error) ? STATE_BY_ERROR[error.code] : undefined;
      if (!isFleetError(error) || state === undefined) throw error;
      const ended = { ...task, state, error: state === 'skipped' ? null : error.message, finishedAt: new Date() };
      return (await client.get(task.id)) ?? ended;
    }
  });
}

function printEnd(io: Io, task: TaskView, { output }: GlobalOptions): number {
  if (output === 'json') printJson(io, taskToJson(task));
  else for (const line of taskDetails(task, Date.now(), paintOf(io, io.stdout))) printLine(io, line);
  return isTerminal(task.state) ? exitCodeOfState(task.state) : EXIT.INTERNAL;
}

/** Describes a task that ended, and was removed, before it could be read. */
function viewOf({ id, name, queue, item }: EnqueuedTask): TaskView {
  const unknown = {
    progress: null,
    result: null,
    error: null,
    problem: null,
    stop: null,
    skippedFor: null,
    dedupeKey: null,
    priority: 0,
    deadline: null,
    limits: null,
    startedAt: null,
    finishedAt: null,
    worker: null,
  };
  const attempts = { attempt: 0, maxAttempts: null, attempts: null, nextAttemptAt: null };
  return { id, name, queue, item, tags: [], state: 'queued', waitingFor: null, ...attempts, enqueuedAt: new Date(), ...unknown };
}
