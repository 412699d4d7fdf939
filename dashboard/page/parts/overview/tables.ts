import type { Overview } from '../api-types.js';
import { element, setAttribute, setText } from '../dom.js';
import { type Column, KeyedTable } from '../ui/keyed-table.js';
import { duration } from '../wording.js';
import { NONE } from './figures.js';
import { partsOf, setLink, showCount, taskUrl, tasksUrl } from './link.js';

type Failures = Overview['failures'][number];
type Queue = Overview['queues'][number];

/** The failures of the last hour by task name; each name leads to its failed tasks, each error to the latest task that has it. */
export function failureTable(table: HTMLTableElement): KeyedTable<Failures> {
  return new KeyedTable(table, {
    columns: [
      { label: 'Task', show: showName },
      { label: 'Failed', numeric: true, show: showFailed },
      { label: 'Most common error', show: showError },
    ],
    key: ({ name }) => name,
    empty: 'No task failed in the last hour.',
  });
}

/** Returns the queues that have tasks or are paused, those with the most live tasks first. */
export function busyQueues(queues: readonly Queue[]): Queue[] {
  const live = ({ queued, in_line: inLine, scheduled, waiting, running }: Queue): number => queued + inLine + scheduled + waiting + running;
  const shown = queues.filter((queue) => queue.paused || live(queue) + queue.completed + queue.failed + queue.cancelled > 0);
  return shown.toSorted((a, b) => Number(b.paused) - Number(a.paused) || live(b) - live(a) || (a.name < b.name ? -1 : 1));
}

/** The tasks of each queue by state. */
export function queueTable(table: HTMLTableElement): KeyedTable<Queue> {
  const counts = (label: string, state: string, of: (queue: Queue) => number): Column<Queue> => ({
    ...{ label, numeric: true },
    show: (cell, queue) => showCount(cell, of(queue), { queue: queue.name, state }),
  });
  return new KeyedTable(table, {
    columns: [
      { label: 'Queue', show: showQueue },
      counts('Running', 'running', ({ running }) => running),
      counts('Queued', 'queued', ({ queued, in_line: inLine }) => queued + inLine),
      counts('Scheduled', 'scheduled,retrying', ({ scheduled }) => scheduled),
      counts('Failed', 'failed', ({ failed }) => failed),
      counts('Completed', 'completed', ({ completed }) => completed),
      { label: 'Oldest wait', numeric: true, show: (cell, { oldest_wait_ms: ms }) => setText(cell, ms === null ? NONE : duration(ms)) },
    ],
    key: ({ name }) => name,
    empty: ['No queue has tasks. Start a worker with ', element('code', {}, 'taskfleet worker'), ', then enqueue one.'],
  });
}

function showName(cell: HTMLElement, { name }: Failures): void {
  const [link] = partsOf(cell, () => [element('a', { class: 'name' })] as const);
  setLink(link, name, tasksUrl({ state: 'failed', name, finished_after: '1h' }));
  setAttribute(link, 'title', name);
}

function showFailed(cell: HTMLElement, { failed, kept }: Failures): void {
  const [all, still] = partsOf(cell, () => [element('span', { 'data-level': 'bad' }), element('span', { class: 'soft' })] as const);
  setText(all, failed.toLocaleString('en'));
  setText(still, kept < failed ? `${kept.toLocaleString('en')} kept` : '');
}

function showError(cell: HTMLElement, { errors: [most], sampled }: Failures): void {
  const [link, share] = partsOf(cell, () => [element('a', { class: 'line' }), element('span', { class: 'soft' })] as const);
  setLink(link, most ? most.example || '(no message)' : '', most ? taskUrl(most.task) : null);
  setAttribute(link, 'title', most?.example ?? null);
  setText(share, most ? `${most.count} of the latest ${sampled}` : 'all retried or removed since');
}

function showQueue(cell: HTMLElement, { name, paused }: Queue): void {
  const [link, note] = partsOf(cell, () => [element('a', { class: 'name' }), element('span', { 'data-level': 'fair' })] as const);
  setLink(link, name, tasksUrl({ queue: name }));
  setText(note, paused ? '❚❚ paused' : '');
}
