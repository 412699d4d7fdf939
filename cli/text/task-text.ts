import type { StopReceipt, TaskView } from '../../producer/index.js';
import { receiptOf } from '../../shared/stop/receipt.js';
import { formatMs } from '../../shared/time.js';
import { oneLine } from './output.js';
import { progressText } from './progress.js';
import { formatAge, formatAgo, renderTable } from './table.js';

const COLUMNS = [
  { header: 'ID' },
  { header: 'NAME', flexible: true },
  { header: 'STATE' },
  { header: 'PROGRESS', flexible: true },
  { header: 'AGE' },
  { header: 'ITEM', flexible: true },
] as const;

/** Formats tasks as table lines. */
export function taskTable(tasks: readonly TaskView[], now: number, width: number): string[] {
  const rows = tasks.map((task) => [
    oneLine(task.id),
    nameText(task),
    task.state + (task.attempt > 1 ? ` (attempt ${task.attempt})` : ''),
    progressText(task.progress),
    task.enqueuedAt ? formatAge(now - task.enqueuedAt.getTime()) : '-',
    task.item === null ? '-' : oneLine(task.item),
  ]);
  return renderTable(COLUMNS, rows, width);
}

/** Labels a task without a name `(foreign)` if it has no queue, otherwise `(unknown)`. */
function nameText({ name, queue }: TaskView): string {
  return name === null ? (queue === null ? '(foreign)' : '(unknown)') : oneLine(name);
}

/** Formats a task as one line: id, name, state, item. */
export function taskLine(task: TaskView): string {
  const { id, state, item } = task;
  return [oneLine(id), nameText(task), state, ...(item === null ? [] : [`item ${oneLine(item)}`])].join('  ');
}

/** Formats a task's details, one line for each known field. */
export function taskDetails(task: TaskView, now: number): string[] {
  const { enqueuedAt, startedAt, finishedAt, stop } = task;
  const facts: [label: string, text: string | null][] = [
    ['id', task.id],
    ['name', task.name === null && task.queue === null ? '(foreign: run by another program)' : nameText(task)],
    ['state', task.state],
    ['item', task.item],
    ['queue', task.queue],
    ['attempt', task.queue === null ? null : attemptText(task)],
    ['progress', progressText(task.progress) === '-' ? null : progressText(task.progress)],
    ['result', task.result === null ? null : JSON.stringify(task.result)],
    ['error', task.error],
    ['problem', task.problem === task.error ? null : task.problem],
    ['stop', stop && stopText(stop)],
    ['enqueued', enqueuedAt && `${enqueuedAt.toISOString()} (${formatAgo(now - enqueuedAt.getTime())})`],
    ['started', startedAt && `${startedAt.toISOString()}${lasted(', after', enqueuedAt, startedAt)}`],
    ['finished', finishedAt && `${finishedAt.toISOString()}${lasted(', ran', startedAt, finishedAt)}`],
    ['worker', task.worker],
  ];
  return facts.flatMap(([label, text]) => (text ? [`${label.padEnd(10)}${oneLine(text)}`] : []));
}

/** Formats the end of a watched task as one line. */
export function endText(task: TaskView): string {
  const time = lasted(' after', task.startedAt, task.finishedAt);
  switch (task.state) {
    case 'completed':
      return `✓ completed${time}`;
    case 'failed':
      return `✗ failed${time}: ${oneLine(task.error ?? 'no reason recorded')}`;
    case 'cancelled':
      return cancelledText(receiptOf(task.id, task));
    default:
      return task.state;
  }
}

/** `■ cancelled by alice: too slow (via signal, 12 ms)`. */
export function cancelledText({ by, reason, via, latencyMs }: StopReceipt): string {
  const how = [...(via === null ? [] : [`via ${via}`]), ...(latencyMs === null ? [] : [formatMs(latencyMs)])];
  return oneLine(
    `■ cancelled${by === null ? '' : ` by ${by}`}${reason === null ? '' : `: ${reason}`}${how.length === 0 ? '' : ` (${how.join(', ')})`}`,
  );
}

/** `2 of 3`. */
function attemptText({ state, attempt, attempts }: TaskView): string {
  const notRetryable = state === 'failed' && attempts !== null && attempt < attempts;
  return `${attempt}${attempts === null ? '' : ` of ${attempts}`}${notRetryable ? ' (this error is not retried)' : ''}`;
}

function stopText({ by, via, reason }: NonNullable<TaskView['stop']>): string {
  const parts = [
    ...(by === null ? [] : [`by ${by}`]),
    ...(via === null ? [] : [`via ${via}`]),
    ...(reason === null ? [] : [`reason: ${reason}`]),
  ];
  return parts.length === 0 ? 'requested' : oneLine(parts.join(', '));
}

function lasted(words: string, from: Date | null, to: Date | null): string {
  return from && to ? `${words} ${formatMs(Math.max(0, to.getTime() - from.getTime()))}` : '';
}
