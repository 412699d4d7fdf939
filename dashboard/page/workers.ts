import { type Difference, type Worker, mayOperate } from './parts/api-types.js';
import { now, read, write } from './parts/api.js';
import { byId, element, setText } from './parts/dom.js';
import { refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { actionButton } from './parts/ui/action.js';
import { confirmed } from './parts/ui/dialog.js';
import { type Outcome, showProblem } from './parts/ui/feedback.js';
import { type Column, KeyedTable } from './parts/ui/keyed-table.js';
import { count } from './parts/wording.js';
import { DEAD_COLUMNS, LIVE_COLUMNS } from './parts/worker/worker-cells.js';
import { healthOf, onlyTakenBy } from './parts/worker/worker-state.js';

const EVERY_MS = 3_000;

/** The page `/workers`. */
const principal = await startShell();
const operates = mayOperate(principal) && principal.items === null;
let workers: readonly Worker[] = [];
const live = new KeyedTable<Worker>(byId('live', HTMLTableElement), {
  columns: [...LIVE_COLUMNS, ...(operates ? [{ label: 'Action', show: showAction }] : [])],
  key: ({ id }) => id,
  empty: ['No live worker: queued tasks wait. Start one: ', element('code', {}, 'taskfleet worker'), '.'],
  mark: (row, worker) => row.toggleAttribute('data-drained', worker.drained !== null),
});
const dead = new KeyedTable<Worker>(byId('dead', HTMLTableElement), { columns: DEAD_COLUMNS, key: ({ id }) => id, empty: '' });
const differing = new KeyedTable<Difference>(byId('differing', HTMLTableElement), {
  columns: differenceColumns(),
  key: ({ name }) => name,
  empty: '',
});
useKeys({
  j: { does: 'Next worker', run: () => live.step(1) },
  k: { does: 'Previous worker', run: () => live.step(-1) },
  ...(operates && { d: { does: 'Drain or resume the worker in focus', run: actOnFocused } }),
});
refreshEvery(refresh, EVERY_MS, (error) => showProblem(byId('problem', HTMLElement), error));

async function refresh(): Promise<void> {
  const { workers: all, differences } = await read<{ workers: Worker[]; differences: Difference[] }>('workers');
  workers = all;
  showProblem(byId('problem', HTMLElement), null);
  const alive = all.filter((worker) => worker.alive);
  live.show(alive);
  dead.show(all.filter((worker) => !worker.alive));
  differing.show(differences);
  byId('dead-workers', HTMLElement).hidden = alive.length === all.length;
  byId('differences', HTMLElement).hidden = differences.length === 0;
  setText(byId('shown', HTMLElement), summary(alive));
}

function summary(alive: readonly Worker[]): string {
  const silent = alive.filter((worker) => healthOf(worker, now()).level === 'bad').length;
  const drained = alive.filter((worker) => worker.drained !== null).length;
  const fetching = alive.filter(({ fetching: yes }) => yes !== false);
  const busy = alive.reduce((sum, { running }) => sum + running.length, 0);
  const slots = fetching.reduce((sum, { slots: own }) => sum + (own ?? 0), 0);
  const parts = [
    `${count(alive.length - silent, 'worker')} alive`,
    ...(silent > 0 ? [`${silent} silent`] : []),
    ...(drained > 0 ? [`${drained} drained`] : []),
    `${busy} of ${slots} slots in use`,
  ];
  return parts.join(', ');
}

function showAction(cell: HTMLElement, worker: Worker): void {
  const { id, drained, draining } = worker;
  const act = draining === true ? 'none' : drained === null ? 'drain' : 'resume';
  if (cell.dataset['act'] === act) return;
  cell.dataset['act'] = act;
  const button = { none: null, drain: drainButton, resume: resumeButton }[act];
  const hadFocus = cell.contains(document.activeElement);
  cell.replaceChildren(...(button === null ? [] : [button(id)]));
  if (hadFocus) cell.querySelector('button')?.focus();
}

function drainButton(id: string): HTMLElement {
  return actionButton({ label: 'Drain …', subject: `worker ${id}`, run: () => drain(id) });
}

function resumeButton(id: string): HTMLElement {
  return actionButton({ label: 'Resume', subject: `worker ${id}`, run: () => resume(id) });
}

async function drain(id: string): Promise<Outcome | null> {
  const worker = workers.find((one) => one.id === id);
  const alone = worker ? onlyTakenBy(worker, workers) : [];
  const busy = worker?.running.length ?? 0;
  const answer = await confirmed(
    {
      title: `Drain worker ${id}?`,
      content: [
        `It ends ${busy === 0 ? 'nothing: no task runs on it' : `its ${count(busy, 'running task')}`}, and fetches no others until it is resumed or ends.`,
        ...(alone.length === 0
          ? []
          : [element('p', { class: 'problem' }, `No other worker takes: ${alone.join(', ')}. Their tasks will wait.`)]),
      ],
      action: 'Drain',
      reason: 'Reason (optional)',
    },
    live.rowOf(id)?.querySelector('button') ?? document.body,
  );
  if (answer === null) return null;
  const { running } = await write<Worker>(`workers/${encodeURIComponent(id)}/drain`, answer.reason === '' ? {} : { reason: answer.reason });
  void refresh().catch(() => undefined);
  return `Draining: ${running.length === 0 ? 'no task runs on it' : `${count(running.length, 'task')} still ${running.length === 1 ? 'runs' : 'run'}`}.`;
}

async function resume(id: string): Promise<Outcome> {
  await write<Worker>(`workers/${encodeURIComponent(id)}/resume`);
  void refresh().catch(() => undefined);
  return 'Resumed: it fetches tasks again.';
}

function actOnFocused(): void {
  const row = document.activeElement?.closest('tr');
  row?.querySelector<HTMLButtonElement>('td[data-label="Action"] button')?.click();
}

function differenceColumns(): Column<Difference>[] {
  return [
    { label: 'Definition', show: (cell, { name }) => setText(cell, name) },
    { label: 'Differs in', show: (cell, { fields }) => setText(cell, fields.join(', ') || 'unknown') },
    { label: 'Versions', show: showVersions },
  ];
}

function showVersions(cell: HTMLElement, { versions }: Difference): void {
  const key = JSON.stringify(versions);
  if (cell.dataset['shown'] === key) return;
  cell.dataset['shown'] = key;
  const lines = versions.map(({ digest, workers: ids, producers }) =>
    element('div', {}, element('span', { class: 'id' }, digest), ` ${[...ids, ...(producers ? ['producers'] : [])].join(', ')}`),
  );
  cell.replaceChildren(...lines);
}
