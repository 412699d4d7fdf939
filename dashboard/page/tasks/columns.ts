import { type Task, isTerminal } from '../parts/api-types.js';
import { element } from '../parts/dom.js';
import type { Column } from '../parts/ui/keyed-table.js';
import {
  type FilterBy,
  showAttempt,
  showChoice,
  showError,
  showItem,
  showOverlapped,
  showProgress,
  showReason,
  showRun,
  showState,
  showTask,
  showTime,
  showWaiting,
} from './cells.js';
import { type ColumnName, columnNames, sortColumn } from './column-names.js';
import { type TaskQuery, statesOf } from './query.js';

interface ColumnOptions {
  readonly filterBy: FilterBy;
  readonly sort: () => void;
}

/** Returns the columns for a query. The list is ordered by one of them, whose head changes the order. */
export function columnsFor(query: TaskQuery, { filterBy, sort }: ColumnOptions): Column<Task>[] {
  const all: Readonly<Record<ColumnName, Pick<Column<Task>, 'label' | 'show'>>> = {
    state: { label: 'State', show: showState },
    task: { label: 'Task', show: showTask },
    item: { label: 'Item and tags', show: showItem(filterBy) },
    progress: { label: statesOf(query).every(isTerminal) ? 'Error or reason' : 'Progress or error', show: showProgress },
    waiting: { label: 'Waiting for', show: showWaiting },
    error: { label: 'Error', show: showError },
    reason: { label: 'Stopped because', show: showReason },
    overlapped: { label: 'Overlapped', show: showOverlapped },
    next: { label: 'Next attempt', show: showTime((task) => task.next_attempt_at, 'due') },
    enqueued: { label: 'Enqueued', show: showTime((task) => task.enqueued_at, 'ago') },
    finished: { label: 'Finished', show: showTime((task) => task.finished_at, 'ago') },
    run: { label: 'Run time', show: showRun },
    queue: { label: 'Queue', show: showChoice('queue', filterBy) },
    worker: { label: 'Worker', show: showChoice('worker', filterBy) },
    attempt: { label: 'Attempt', show: showAttempt },
  };
  const sorted = sortColumn(query);
  return columnNames(query).map((name) => ({
    ...all[name],
    kind: `col-${name}`,
    ...(name === sorted && { head: sortButton(all[name].label, query.order, sort) }),
  }));
}

function sortButton(label: string, order: TaskQuery['order'], sort: () => void): HTMLElement {
  const other = order === 'newest' ? 'oldest' : 'newest';
  return element(
    'button',
    { type: 'button', class: 'sort', title: `${order} first; click for ${other} first`, click: sort },
    `${label} ${order === 'newest' ? '▾' : '▴'}`,
    element('span', { class: 'sr-only' }, ` ${order} first`),
  );
}
