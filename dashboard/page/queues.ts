import type { Queue } from '../api/routes/queues.js';
import { mayOperate } from './parts/api-types.js';
import { ROOT, read, taskPath, write } from './parts/api.js';
import { byId, element, renderOnce, setAttribute, setText } from './parts/dom.js';
import { refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { actionButton } from './parts/ui/action.js';
import { confirmed } from './parts/ui/dialog.js';
import { type Outcome, showProblem } from './parts/ui/feedback.js';
import { type Column, KeyedTable } from './parts/ui/keyed-table.js';
import { timeElement } from './parts/ui/time.js';
import { count, duration } from './parts/wording.js';

const EVERY_MS = 3_000;

/** The page `/queues`. */
const principal = await startShell();
const problem = byId('problem', HTMLElement);
let shown: ReadonlyMap<string, Queue> = new Map();
const columns: readonly Column<Queue>[] = [
  { label: 'Queue', show: showName },
  { label: 'State', kind: 'state-cell', show: showState },
  numbers('Queued', 'queued', ({ counts }) => counts.queued),
  numbers('In line', 'queued', ({ counts }) => counts.in_line),
  numbers('Scheduled', 'scheduled,retrying', ({ counts }) => counts.scheduled),
  numbers('Running', 'running', ({ counts }) => counts.running),
  numbers('Failed', 'failed', ({ counts }) => counts.failed),
  { label: 'Oldest', numeric: true, show: showOldest },
  { label: 'Per minute', kind: 'rate', show: showRate },
  { label: 'Limits', numeric: true, show: showLimits },
  { label: 'Workers', show: showWorkers },
  ...(mayOperate(principal) ? [{ label: 'Action', show: showAction }] : []),
];
const table = new KeyedTable<Queue>(byId('rows', HTMLTableElement), {
  columns,
  key: ({ name }) => name,
  empty: ['No queues yet. A queue appears with its first task or worker: ', element('code', {}, 'taskfleet worker'), '.'],
  mark: (row, { paused }) => setAttribute(row, 'data-paused', paused === null ? null : ''),
});
if (principal.items !== null) {
  showProblem(problem, new Error('Queues cover all tasks, but you may see certain items only. Your tasks say if their queue is paused.'));
} else {
  byId('queues', HTMLElement).hidden = false;
  useKeys({
    j: { does: 'Next queue', run: () => table.step(1) },
    k: { does: 'Previous queue', run: () => table.step(-1) },
    ...(mayOperate(principal) && { p: { does: 'Pause or resume the queue', run: () => focusedButton()?.click() } }),
  });
  refreshEvery(refresh, EVERY_MS, (error) => showProblem(problem, error));
}

async function refresh(): Promise<void> {
  const { queues } = await read<{ queues: Queue[] }>('queues');
  showProblem(problem, null);
  shown = new Map(queues.map((queue) => [queue.name, queue]));
  table.show(queues);
  const paused = queues.filter((queue) => queue.paused !== null).length;
  setText(byId('shown', HTMLElement), `${count(queues.length, 'queue')}${paused === 0 ? '' : `, ${paused} paused`}`);
}

function showName(cell: HTMLElement, { name, shards, built_in: builtIn, problem: unreadable }: Queue): void {
  renderOnce(cell, [name, shards.length, builtIn, unreadable], () => [
    element('a', { class: 'name', href: tasksUrl(name), title: name }, name),
    builtIn ? element('span', { class: 'soft' }, 'built-in') : null,
    shards.length > 1 ? element('span', { class: 'soft', title: shards.join(', ') }, `${shards.length} shards`) : null,
    unreadable === null ? null : element('span', { class: 'line', title: unreadable }, unreadable),
  ]);
}

function showState(cell: HTMLElement, { paused, shards }: Queue): void {
  renderOnce(cell, [paused, shards.length], () => {
    if (paused === null) return ['runs'];
    const { by, at, reason, shards: held } = paused;
    return [
      element('span', { 'data-level': 'fair' }, held.length < shards.length ? `‖ ${held.length} of ${shards.length} paused` : '‖ paused'),
      element('span', { class: 'soft' }, by === null ? 'by another client' : `by ${by}`, ...(at === null ? [] : [' ', timeElement(at)])),
      reason === null ? null : element('span', { class: 'reason', title: reason }, reason),
    ];
  });
}

/** A column of numbers that link to the tasks behind them. */
function numbers(label: string, state: string, of: (queue: Queue) => number): Column<Queue> {
  return {
    label,
    numeric: true,
    show: (cell, queue) => {
      const number = of(queue);
      const level = label === 'Failed' && number > 0 ? 'bad' : null;
      renderOnce(cell, [number], () => [
        number === 0
          ? element('span', { class: 'none' }, '0')
          : element('a', { href: tasksUrl(queue.name, state), ...(level && { 'data-level': level }) }, number.toLocaleString('en')),
      ]);
    },
  };
}

function showOldest(cell: HTMLElement, { oldest_wait_ms: waitMs, oldest_wait_task: task }: Queue): void {
  const text = waitMs === null ? '–' : duration(waitMs);
  renderOnce(cell, [text, task?.id], () => [
    task === null ? text : element('a', { href: new URL(taskPath(task.id), ROOT).href, title: task.name ?? task.id }, text),
  ]);
}

function showRate(cell: HTMLElement, { in_per_minute: entered, out_per_minute: left }: Queue): void {
  renderOnce(cell, [entered, left], () => [
    entered + left === 0 ? element('span', { class: 'none' }, '0') : `${entered.toLocaleString('en')} in, ${left.toLocaleString('en')} out`,
  ]);
}

function showLimits(cell: HTMLElement, { limits, concurrency }: Queue): void {
  renderOnce(cell, [limits, concurrency], () => [
    limits === 0 ? element('span', { class: 'none' }, '0') : element('a', { href: new URL('limits', ROOT).href }, String(limits)),
    concurrency === null ? null : element('span', { class: 'soft' }, `at most ${concurrency}`),
  ]);
}

function showWorkers(cell: HTMLElement, { workers, slots, counts, built_in: builtIn }: Queue): void {
  const waits = counts.queued + counts.in_line + counts.scheduled > 0;
  renderOnce(cell, [workers.length, slots, waits], () => [
    workers.length === 0 && waits
      ? element('span', { 'data-level': 'bad' }, '⚠ none')
      : element('a', { href: new URL('workers', ROOT).href }, String(workers.length)),
    workers.length === 0 || builtIn ? null : ` (${count(slots, 'slot')})`,
  ]);
}

/** Keeps the button, so that the focus and the outcome beside it stay where they are. */
function showAction(cell: HTMLElement, { name, paused }: Queue): void {
  const label = paused === null ? 'Pause' : 'Resume';
  const button = cell.querySelector('button');
  if (button) setText(button.firstChild as Node, label);
  else cell.append(actionButton({ label, subject: name, run: () => pauseOrResume(name) }));
}

function pauseOrResume(name: string): Promise<Outcome | null> {
  const queue = shown.get(name);
  if (!queue) return Promise.resolve(null);
  return queue.paused === null ? pause(queue) : resume(queue);
}

async function pause({ name, built_in: builtIn }: Queue): Promise<Outcome | null> {
  const answer = await confirmed(
    {
      title: `Pause the queue ${name}?`,
      content: [
        'Workers start no further task of it, on any shard. Running tasks go on; tasks can be enqueued and stopped as ever.',
        ...(builtIn
          ? ["This is the fleet's own queue: while it is paused, nothing is repaired after a crash, and no bulk makes progress."]
          : []),
      ],
      action: 'Pause',
      dangerous: builtIn,
      reason: 'Reason (optional), shown with each of its tasks',
    },
    byId('rows', HTMLElement),
  );
  if (answer === null) return null;
  const { paused } = await write<Queue>(`queues/${encodeURIComponent(name)}/pause`, answer.reason === '' ? {} : { reason: answer.reason });
  void refresh().catch(() => undefined);
  return paused === null ? `${name} was resumed meanwhile` : `Paused ${name}`;
}

async function resume({ name }: Queue): Promise<Outcome> {
  await write<Queue>(`queues/${encodeURIComponent(name)}/resume`);
  void refresh().catch(() => undefined);
  return `Resumed ${name}`;
}

function focusedButton(): HTMLButtonElement | null {
  return document.activeElement?.closest('tr')?.querySelector('button') ?? null;
}

function tasksUrl(queue: string, state?: string): string {
  return new URL(`tasks?${new URLSearchParams({ queue, ...(state !== undefined && { state }) }).toString()}`, ROOT).href;
}
