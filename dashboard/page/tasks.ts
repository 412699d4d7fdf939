import type { ListChange, Task, Worker } from './parts/api-types.js';
import { now, read } from './parts/api.js';
import { isSilent } from './parts/attention.js';
import { byId, setAttribute, setText } from './parts/dom.js';
import { followEvents, refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { setTitle } from './parts/shell/title.js';
import { showProblem } from './parts/ui/feedback.js';
import { clockTime } from './parts/ui/time.js';
import { count } from './parts/wording.js';
import { BulkProgress } from './tasks/bulk/progress.js';
import { SelectionBar } from './tasks/bulk/selection-bar.js';
import { FilterForm } from './tasks/filter-form.js';
import { type ListState, Listing } from './tasks/listing.js';
import { reachText } from './tasks/notes.js';
import { type TaskQuery, countPath, exactly, readQuery, searchOf } from './tasks/query.js';
import { type StateCounts, numberText, sumOf } from './tasks/state-counts.js';
import { StatesBar } from './tasks/states-bar.js';
import { TasksTable } from './tasks/tasks-table.js';

const TICK_MS = 1_000;
const REFRESH_MS = 3_000;
const COUNTS_MS = 10_000;
const WORKERS_MS = 15_000;
/** Counting waits for this many times as long as it took the last time: it costs what it counts. */
const COUNTS_FACTOR = 10;
/** Tasks of a state that are counted at most. */
const MOST_COUNTED = 100_000;

/** The page `/tasks`. */
const principal = await startShell();
const problem = byId('problem', HTMLElement);
let silent: ReadonlySet<string> = new Set();
let counts: StateCounts | null = null;
let countsDueAt = 0;
let paused = false;

const states = new StatesBar(byId('states', HTMLElement), readQuery(location.search), go);
const listing = new Listing(readQuery(location.search), {
  show,
  fail: (error) => showProblem(problem, error),
  mayMove: () => !paused && !table.inUse && document.querySelector('dialog[open]') === null,
});
const form = new FilterForm(listing.query, go);
const selection = new SelectionBar({
  principal,
  query: () => listing.query,
  tasks: () => listing.tasks,
  matching: () => counts && numberText(sumOf(listing.query.states, counts)),
  started: (bulk) => progress.follow(bulk),
});
const table = new TasksTable({
  ...{ principal, selection, go, changed: (task: Task) => listing.update([task]) },
  filterBy: (field, value) => go(narrowed(listing.query, field, value)),
  sort: () => go({ ...listing.query, order: listing.query.order === 'newest' ? 'oldest' : 'newest' }),
});
const progress = new BulkProgress(byId('bulk', HTMLElement), () => {
  void listing.reload();
  void readCounts();
});

setUpButtons();
showQuery(listing.query);
useKeys({
  '/': { does: 'Search', run: () => form.focus() },
  j: { does: 'Next task', run: () => table.step(1) },
  k: { does: 'Previous task', run: () => table.step(-1) },
  x: { does: 'Select the task', run: () => withFocused(({ id }) => selection.toggle(id)) },
  s: { does: 'Stop the selected tasks, or the task', run: () => run('stop', 'Stop') },
  r: { does: 'Retry the selected tasks, or the task', run: () => run('retry', 'Retry') },
  p: { does: 'Pause and resume updates', run: () => byId('pause', HTMLButtonElement).click() },
});
window.addEventListener('popstate', () => use(readQuery(location.search)));
followEvents({
  path: 'events',
  // Changes from before the connection are not replayed.
  on: { ready: () => listing.hurry(), change: ({ changed }: ListChange) => paused || listing.update(changed) },
}).open();
refreshEvery(
  () => (paused ? Promise.resolve() : listing.refresh()),
  REFRESH_MS,
  (error) => showProblem(problem, error),
);
refreshEvery(() => (performance.now() < countsDueAt ? Promise.resolve() : readCounts()), COUNTS_MS);
refreshEvery(readSilentWorkers, WORKERS_MS);
window.setInterval(tick, TICK_MS);

/** Shows another query, and puts it into the URL. */
function go(query: TaskQuery): void {
  history.pushState(null, '', `${location.pathname}${searchOf(query)}`);
  use(query);
}

function use(query: TaskQuery): void {
  selection.selection.clear();
  counts = null;
  showQuery(query);
  void listing.change(query);
  void readCounts().catch(() => undefined);
}

function showQuery(query: TaskQuery): void {
  const { states: chosen } = query;
  setTitle(typeof chosen === 'string' ? 'Tasks' : `Tasks: ${chosen.join(', ')}`);
  form.show(query);
  states.show(query);
  states.count(counts);
  table.prepare(query);
}

function narrowed(query: TaskQuery, field: 'item' | 'tag' | 'worker' | 'queue', value: string): TaskQuery {
  if (field === 'tag') return { ...query, tags: [...new Set([...query.tags, value])] };
  return { ...query, texts: { ...query.texts, [field]: field === 'item' ? exactly(value) : value } };
}

function show({ query, tasks, held, page, more, searched, reached }: ListState): void {
  table.prepare(query);
  table.show(tasks);
  selection.show();
  showCounts();
  byId('release', HTMLElement).hidden = held === 0;
  setText(byId('release', HTMLElement), `Show ${count(held, 'other task')}`);
  const reach = reachText({ searched, reached }, query.order, (iso) => clockTime(Date.parse(iso)));
  byId('reach', HTMLElement).hidden = reach === null;
  setText(byId('reach-text', HTMLElement), reach ?? '');
  byId('newer', HTMLButtonElement).disabled = page === 1;
  byId('older', HTMLButtonElement).disabled = !more;
  setText(byId('page-number', HTMLElement), `Page ${page}`);
  tick();
}

/** Says how many tasks match, or how many are on the page while that is unknown. */
function showCounts(): void {
  const { query, tasks } = listing;
  const all = counts && sumOf(query.states, counts);
  setText(
    byId('shown', HTMLElement),
    all ? `${count(all.count, 'task')}${all.complete ? '' : ' or more'}` : `${count(tasks.length, 'task')} on this page`,
  );
}

async function readCounts(): Promise<void> {
  const { query } = listing;
  const path = countPath(query, 'all');
  const began = performance.now();
  const answer = await read<{ states?: StateCounts }>(`${path}${path.includes('?') ? '&' : '?'}by=state&at_most=${MOST_COUNTED}`);
  countsDueAt = performance.now() + COUNTS_FACTOR * (performance.now() - began);
  if (query !== listing.query) return;
  counts = answer.states ?? null;
  states.count(counts);
  showCounts();
  selection.show();
}

function tick(): void {
  if (document.hidden) return;
  if (!paused && !table.inUse) listing.release();
  const number = table.tick(now(), silent);
  byId('attention', HTMLElement).hidden = number === 0 && !byId('only-attention', HTMLInputElement).checked;
  setText(byId('attention-count', HTMLElement), `⚠ ${count(number, 'task needs', 'tasks need')} attention`);
}

function withFocused(act: (task: Task) => void): void {
  const task = table.focused;
  if (task) act(task);
}

function run(action: 'stop' | 'retry', label: 'Stop' | 'Retry'): void {
  if (!selection.run(action)) withFocused((task) => table.act(task, label));
}

function setUpButtons(): void {
  const pause = byId('pause', HTMLButtonElement);
  pause.addEventListener('click', () => {
    paused = !paused;
    setText(pause, paused ? 'Resume' : 'Pause');
    setAttribute(pause, 'aria-pressed', String(paused));
    if (!paused) void listing.reload();
  });
  byId('release', HTMLButtonElement).addEventListener('click', () => listing.release());
  byId('further', HTMLButtonElement).addEventListener('click', () => void listing.lookFurther());
  byId('newer', HTMLButtonElement).addEventListener('click', () => void listing.newer());
  byId('older', HTMLButtonElement).addEventListener('click', () => void listing.older());
  byId('only-attention', HTMLInputElement).addEventListener('change', (event) => {
    byId('list', HTMLElement).classList.toggle('only-attention', (event.target as HTMLInputElement).checked);
  });
}

/** Reads which workers have no heartbeat: their tasks are marked. */
async function readSilentWorkers(): Promise<void> {
  const { workers } = await read<{ workers: Worker[] }>('workers');
  silent = new Set(workers.filter((worker) => isSilent(worker, now())).map(({ id }) => id));
}
