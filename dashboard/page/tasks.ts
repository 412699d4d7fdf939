import { type ListChange, type Task, type Worker, mayStop } from './parts/api-types.js';
import { EventStream, now, read } from './parts/api.js';
import { isSilent } from './parts/attention.js';
import { FilterForm } from './parts/filter-form.js';
import { TaskPager } from './parts/live-list.js';
import { byId, onKeys, setText, showLink, showProblem, startShell } from './parts/shell.js';
import { askToStop, askToStopItem } from './parts/stop-dialogs.js';
import { Stops } from './parts/stops.js';
import { readListQuery } from './parts/task-set.js';
import { TaskTable } from './parts/task-table.js';
import { count } from './parts/wording.js';

const TICK_MS = 1_000;
const WORKERS_EVERY_MS = 15_000;

/** The page `/`: the live tasks. */
const principal = await startShell();
const stops = new Stops(byId('stops', HTMLElement), byId('spoken', HTMLElement));
const heading = byId('title', HTMLElement);
const stoppable = mayStop(principal);
let silent: ReadonlySet<string> = new Set();

const filters = new FilterForm(readListQuery(location.search), (query) => list.change(query));
const table = new TaskTable(byId('rows', HTMLTableSectionElement), {
  stop: stoppable ? (task) => void askToStop(task, heading, (reason) => stops.stopTask(task, reason)) : null,
  filterItem: (item) => filters.useItem(item),
});
const list = new TaskPager(readListQuery(location.search), {
  show,
  fail: (error) => showProblem(byId('problem', HTMLElement), error),
  mustStay: (id) => table.isInUse(id),
});

byId('action-column', HTMLElement).hidden = !stoppable;
setUpButtons();
onKeys({
  '/': () => filters.focusSearch(),
  j: () => table.step(1),
  k: () => table.step(-1),
  p: () => byId('pause', HTMLButtonElement).click(),
});
new EventStream({
  path: 'events',
  // Changes from before the connection are not replayed, so the page is reloaded.
  on: { ready: () => void (list.paused || list.load()), change: (change: ListChange) => onChange(change) },
  onLink: showLink,
}).open();
window.setInterval(tick, TICK_MS);
void refreshSilentWorkers();

function onChange(change: ListChange): void {
  for (const task of change.changed) stops.note(task);
  list.apply(change);
}

function show(tasks: readonly Task[], { number, more }: { readonly number: number; readonly more: boolean }): void {
  table.show(tasks, now());
  byId('empty', HTMLElement).hidden = tasks.length > 0;
  byId('newer', HTMLButtonElement).disabled = number === 1;
  byId('older', HTMLButtonElement).disabled = !more;
  setText(byId('page-number', HTMLElement), `Page ${number}`);
  setText(byId('shown', HTMLElement), `${count(tasks.length, 'task')}${more || number > 1 ? ' on this page' : ''}`);
  showAttention();
}

function tick(): void {
  if (document.hidden) return;
  list.expire();
  showAttention();
}

function showAttention(): void {
  const number = table.tick(now(), silent);
  byId('attention', HTMLElement).hidden = number === 0 && !byId('only-attention', HTMLInputElement).checked;
  setText(byId('attention-count', HTMLElement), `⚠ ${count(number, 'task needs', 'tasks need')} attention`);
}

function setUpButtons(): void {
  const pause = byId('pause', HTMLButtonElement);
  pause.addEventListener('click', () => {
    list.pause(!list.paused);
    setText(pause, list.paused ? 'Resume' : 'Pause');
  });
  byId('newer', HTMLButtonElement).addEventListener('click', () => void list.newer());
  byId('older', HTMLButtonElement).addEventListener('click', () => void list.older());
  byId('only-attention', HTMLInputElement).addEventListener('change', (event) => {
    byId('rows', HTMLElement).classList.toggle('only-attention', (event.target as HTMLInputElement).checked);
  });
  const stopItem = byId('stop-item', HTMLButtonElement);
  stopItem.hidden = !stoppable;
  stopItem.addEventListener(
    'click',
    () => void askToStopItem(list.query.item ?? '', stopItem, (item, reason) => stops.stopItem(item, reason)),
  );
}

/** Refreshes the set of workers without a heartbeat, whose tasks are marked. */
async function refreshSilentWorkers(): Promise<void> {
  if (!document.hidden) {
    const { workers } = await read<{ workers: Worker[] }>('workers').catch(() => ({ workers: [] }));
    silent = new Set(workers.filter((worker) => isSilent(worker, now())).map(({ id }) => id));
  }
  window.setTimeout(() => void refreshSilentWorkers(), WORKERS_EVERY_MS);
}
