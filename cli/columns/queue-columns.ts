import type { QueueView } from '../../producer/index.js';
import type { ListColumn } from '../text/columns.js';
import { oneLine } from '../text/output.js';
import { formatAge, formatAgo } from '../text/table.js';

/** The columns of a list of queues. */
export const QUEUE_COLUMNS: readonly ListColumn<QueueView>[] = [
  { name: 'name', text: ({ name }) => oneLine(name), tone: ({ problem }) => (problem === null ? null : 'bad') },
  {
    name: 'state',
    text: ({ paused }) => (paused === null ? 'running' : 'paused'),
    tone: ({ paused }) => (paused === null ? null : 'warning'),
  },
  { name: 'queued', numeric: true, text: ({ counts }) => String(counts.queued) },
  { name: 'in_line', numeric: true, text: ({ counts }) => String(counts.inLine) },
  { name: 'scheduled', numeric: true, text: ({ counts }) => String(counts.scheduled) },
  {
    name: 'running',
    numeric: true,
    text: ({ counts }) => String(counts.running),
    tone: ({ counts }) => (counts.running === 0 ? null : 'active'),
  },
  {
    name: 'failed',
    numeric: true,
    text: ({ counts }) => String(counts.failed),
    tone: ({ counts }) => (counts.failed === 0 ? null : 'bad'),
  },
  { name: 'waiting', numeric: true, shown: 'chosen', text: ({ counts }) => String(counts.waiting) },
  { name: 'completed', numeric: true, shown: 'chosen', text: ({ counts }) => String(counts.completed) },
  { name: 'cancelled', numeric: true, shown: 'chosen', text: ({ counts }) => String(counts.cancelled) },
  { name: 'oldest', text: ({ oldestWaitMs }) => (oldestWaitMs === null ? null : formatAge(oldestWaitMs)) },
  { name: 'in/min', numeric: true, text: ({ inPerMinute }) => String(inPerMinute) },
  { name: 'out/min', numeric: true, text: ({ outPerMinute }) => String(outPerMinute) },
  { name: 'workers', numeric: true, text: ({ workers }) => String(workers.length), tone: (queue) => (isServed(queue) ? null : 'bad') },
  { name: 'slots', numeric: true, shown: 'chosen', text: ({ slots }) => String(slots) },
  { name: 'shards', numeric: true, shown: 'chosen', text: ({ shards }) => String(shards.length) },
  { name: 'limits', numeric: true, shown: 'chosen', text: ({ limits }) => String(limits) },
  { name: 'paused', flexible: true, shown: 'filled', text: ({ paused }, now) => paused && pausedText(paused, now) },
  { name: 'problem', flexible: true, shown: 'filled', text: ({ problem }) => problem },
];

/** Whether a worker takes the queue's tasks, or there are none to take. */
function isServed({ workers, counts }: QueueView): boolean {
  return workers.length > 0 || counts.queued + counts.scheduled + counts.inLine === 0;
}

/** `5m ago by alice: the model is down`. */
function pausedText({ by, at, reason }: NonNullable<QueueView['paused']>, now: number): string {
  const when = at === null ? 'by another client' : `${formatAgo(now - at.getTime())}${by === null ? '' : ` by ${by}`}`;
  return oneLine(`${when}${reason === null ? '' : `: ${reason}`}`);
}
