import { TaskfleetError } from '../client.js';
import { type Me, type Receipt, type Task, isRetryable, isTerminal, mayOperate, mayStop } from './api-types.js';
import { taskPath, write } from './api.js';
import { confirmed, termList } from './ui/dialog.js';
import { nameOf, receiptText } from './wording.js';

/** How long a stop waits for its task to end, in ms. */
const WAIT_MS = 1_000;

/** Returns what the caller may do with a task in its state; null for nothing. */
export function actionOf({ state }: Pick<Task, 'state'>, principal: Me): 'stop' | 'retry' | null {
  if (isRetryable(state)) return mayOperate(principal) ? 'retry' : null;
  return isTerminal(state) || state === 'stopping' || !mayStop(principal) ? null : 'stop';
}

/** Asks for confirmation and a reason, then stops a task. Returns its receipt in words; null if cancelled. @throws TaskfleetError */
export async function askAndStop(task: Task, fallback: HTMLElement): Promise<string | null> {
  const answer = await confirmed(
    {
      title: 'Stop this task?',
      content: [
        termList([
          ['Task', `${nameOf(task)} ${task.id}`],
          ['Item', task.item ?? '–'],
        ]),
        'The task is cancelled, with the tasks that its handler enqueued, and will not run again unless it is retried.',
      ],
      ...{ action: 'Stop', dangerous: true, reason: 'Reason (optional, stored with the task)' },
    },
    fallback,
  );
  return answer === null ? null : stopText(await stop(task.id, answer.reason));
}

/** @throws TaskfleetError */
export async function retry({ id }: Pick<Task, 'id'>): Promise<Task> {
  return write<Task>(`${taskPath(id)}/retry`);
}

async function stop(id: string, reason: string): Promise<Receipt> {
  try {
    return await write<Receipt>(`${taskPath(id)}/stop?wait_ms=${WAIT_MS}`, reason === '' ? {} : { reason });
  } catch (error) {
    // The task had ended before.
    if (error instanceof TaskfleetError && error.problem?.receipt) return error.problem.receipt;
    throw error;
  }
}

function stopText(receipt: Receipt): string {
  const text = receiptText(receipt);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
