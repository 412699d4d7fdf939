import { lineText, pauseText } from '../../dashboard/page/parts/waiting-text.js';
import type { StopReceipt, TaskView } from '../../producer/index.js';
import { MAX_PRINTED_BYTES, cutToBytes } from '../../shared/limits.js';
import { receiptOf } from '../../shared/stop/receipt.js';
import type { LimitWait, TaskWaiting } from '../../shared/task/wait/waiting.js';
import { formatMs } from '../../shared/time.js';
import { attemptLines } from './attempt-text.js';
import { PLAIN, toneOf } from './colour.js';
import { oneLine } from './output.js';
import { progressText } from './progress-text.js';
import { formatAgo, formatUntil } from './table.js';

/** Labels a task without a name `(foreign)` if it has no queue, otherwise `(unknown)`. */
export function nameText({ name, queue }: TaskView): string {
  return name === null ? (queue === null ? '(foreign)' : '(unknown)') : oneLine(name);
}

/** Formats a task as one line: id, name, state, item. */
export function taskLine(task: TaskView): string {
  const { id, state, item } = task;
  return [oneLine(id), nameText(task), state, ...(item === null ? [] : [`item ${oneLine(item)}`])].join('  ');
}

/** Formats a task's details, one line for each known field, and its attempts. */
export function taskDetails(task: TaskView, now: number, paint = PLAIN): string[] {
  const { enqueuedAt, startedAt, finishedAt, nextAttemptAt, stop } = task;
  const facts: [label: string, text: string | null][] = [
    ['id', task.id],
    ['name', task.name === null && task.queue === null ? '(foreign: run by another program)' : nameText(task)],
    ['state', task.state],
    ['waiting', task.waitingFor && waitingText(task.waitingFor, now)],
    ['item', task.item],
    ['tags', task.tags.length === 0 ? null : task.tags.join(', ')],
    ['queue', task.queue],
    ['attempt', task.queue === null ? null : attemptText(task)],
    ['progress', progressText(task.progress) === '-' ? null : progressText(task.progress)],
    ['result', task.result === null ? null : cutToBytes(JSON.stringify(task.result), MAX_PRINTED_BYTES)],
    ['error', task.error],
    ['problem', task.problem === task.error ? null : task.problem],
    ['stop', stop && stopText(stop)],
    ['dedupe', task.dedupeKey],
    ['priority', task.priority === 0 ? null : String(task.priority)],
    ['deadline', task.deadline && task.deadline.toISOString()],
    ['skipped', task.skippedFor && `for ${task.skippedFor}, another task of its schedule`],
    ['enqueued', enqueuedAt && `${enqueuedAt.toISOString()} (${formatAgo(now - enqueuedAt.getTime())})`],
    ['started', startedAt && `${startedAt.toISOString()}${lasted(', after', enqueuedAt, startedAt)}`],
    ['finished', finishedAt && `${finishedAt.toISOString()}${lasted(', ran', startedAt, finishedAt)}`],
    ['next', nextAttemptAt && `${nextAttemptAt.toISOString()} (${formatUntil(nextAttemptAt.getTime() - now)})`],
    ['worker', task.worker],
  ];
  const lines = facts.flatMap(([label, text]) =>
    text ? [label.padEnd(10) + paint(label === 'state' ? toneOf(task.state) : null, oneLine(text))] : [],
  );
  return task.attempts === null || task.attempts.length === 0 ? lines : [...lines, 'attempts', ...attemptLines(task.attempts)];
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
    case 'skipped':
      return skippedText(task);
    default:
      return task.state;
  }
}

/** `○ skipped: overlapped task-1`. */
function skippedText({ skippedFor }: TaskView): string {
  return oneLine(`○ skipped${skippedFor === null ? '' : `: overlapped ${skippedFor}`}`);
}

/** `■ cancelled by alice: too slow (via signal, 12 ms)`. */
export function cancelledText({ by, reason, via, latencyMs }: StopReceipt): string {
  const how = [...(via === null ? [] : [`via ${via}`]), ...(latencyMs === null ? [] : [formatMs(latencyMs)])];
  return oneLine(
    `■ cancelled${by === null ? '' : ` by ${by}`}${reason === null ? '' : `: ${reason}`}${how.length === 0 ? '' : ` (${how.join(', ')})`}`,
  );
}

/** `queue chat is paused by alice: the model is down (5m ago); third in line for chat:1`. */
function waitingText(waiting: TaskWaiting, now: number): string {
  if (waiting.kind !== 'paused') return limitWaitText(waiting, now);
  const { since, limitWait } = waiting;
  const when = since === null ? '' : ` (${formatAgo(now - since.getTime())})`;
  return `${pauseText(waiting)}${when}${limitWait === null ? '' : `; ${limitWaitText(limitWait, now)}`}`;
}

/** `third in line for chat:1, behind task-1 (limit 1, 7 in line)`. */
function limitWaitText(waiting: LimitWait, now: number): string {
  const { kind, limit, running, length, nextAt, behind } = waiting;
  const others = behind !== null && behind.length > 0 ? `, behind ${behind.join(', ')}` : '';
  const more = behind !== null && behind.length > 0 && running > behind.length ? ` and ${running - behind.length} more` : '';
  const next = nextAt === null ? '' : `, next ${formatUntil(nextAt.getTime() - now)}`;
  return `${lineText(waiting)}${others}${more}${next} (${kind === 'rate' ? '' : `limit ${limit}, `}${length} in line)`;
}

/** `2 of 3`. */
function attemptText({ state, attempt, maxAttempts }: TaskView): string {
  const notRetryable = state === 'failed' && maxAttempts !== null && attempt < maxAttempts;
  return `${attempt}${maxAttempts === null ? '' : ` of ${maxAttempts}`}${notRetryable ? ' (this error is not retried)' : ''}`;
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

/** `cancelled via signal in 12 ms`. */
export function receiptText({ outcome, endedAs, via, latencyMs }: StopReceipt): string {
  switch (outcome) {
    case 'cancelled':
      return `cancelled${via ? ` via ${via}` : ''}${latencyMs === null ? '' : ` in ${formatMs(latencyMs)}`}`;
    case 'requested':
      return 'stop requested';
    case 'finished':
      return `had already ended${endedAs ? ` (${endedAs})` : ''}`;
    case 'not_found':
      return 'not found';
  }
}
