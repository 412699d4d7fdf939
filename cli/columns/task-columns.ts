import { waitText } from '../../dashboard/page/parts/waiting-text.js';
import type { TaskView } from '../../producer/index.js';
import { formatMs } from '../../shared/time.js';
import { toneOf } from '../text/colour.js';
import type { ListColumn } from '../text/columns.js';
import { oneLine } from '../text/output.js';
import { progressText } from '../text/progress-text.js';
import { formatAge, formatAgo, formatUntil } from '../text/table.js';
import { nameText } from '../text/task-text.js';

/** The columns of a list of tasks. */
export const TASK_COLUMNS: readonly ListColumn<TaskView>[] = [
  { name: 'id', text: ({ id }) => oneLine(id) },
  { name: 'name', flexible: true, text: nameText },
  {
    name: 'state',
    text: ({ state, attempt }) => state + (attempt > 1 ? ` (attempt ${attempt})` : ''),
    tone: ({ state }) => toneOf(state),
  },
  { name: 'progress', flexible: true, text: ({ progress }) => progressText(progress) },
  { name: 'age', text: ({ enqueuedAt }, now) => enqueuedAt && formatAge(now - enqueuedAt.getTime()) },
  { name: 'next', shown: 'filled', text: ({ nextAttemptAt }, now) => nextAttemptAt && formatUntil(nextAttemptAt.getTime() - now) },
  { name: 'waiting', flexible: true, shown: 'filled', text: ({ waitingFor }) => waitingFor && oneLine(waitText(waitingFor)) },
  { name: 'started', shown: 'chosen', text: ({ startedAt }, now) => startedAt && formatAgo(now - startedAt.getTime()) },
  { name: 'finished', shown: 'filled', text: ({ finishedAt }, now) => finishedAt && formatAgo(now - finishedAt.getTime()) },
  { name: 'ran', shown: 'filled', text: durationText },
  { name: 'attempt', shown: 'chosen', text: ({ attempt, maxAttempts }) => `${attempt}${maxAttempts === null ? '' : `/${maxAttempts}`}` },
  { name: 'queue', shown: 'chosen', flexible: true, text: ({ queue }) => queue },
  { name: 'worker', shown: 'chosen', flexible: true, text: ({ worker }) => worker },
  { name: 'item', flexible: true, text: ({ item }) => item && oneLine(item) },
  { name: 'tags', flexible: true, shown: 'filled', text: ({ tags }) => (tags.length === 0 ? null : oneLine(tags.join(' '))) },
  { name: 'error', flexible: true, shown: 'filled', text: ({ error }) => error && oneLine(error), tone: () => 'bad' },
];

/** The run time of an ended task's last attempt. */
function durationText({ startedAt, finishedAt }: TaskView): string | null {
  return startedAt && finishedAt && formatMs(Math.max(0, finishedAt.getTime() - startedAt.getTime()));
}
