import type { Limit, LimitPage } from './parts/api-types.js';
import { read } from './parts/api.js';
import { byId, element, setAttribute, setText } from './parts/dom.js';
import { refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { showProblem } from './parts/ui/feedback.js';
import { KeyedTable } from './parts/ui/keyed-table.js';
import { type TimeForm, setTime, timeElement } from './parts/ui/time.js';
import { count, duration } from './parts/wording.js';

const EVERY_MS = 3_000;
const SHOWN = 200;
const NONE = '–';

/** The page `/limits`. */
const principal = await startShell();
const name = byId('filter-name', HTMLInputElement);
const problem = byId('problem', HTMLElement);
const table = new KeyedTable<Limit>(byId('rows', HTMLTableElement), {
  columns: [
    { label: 'Name', show: (cell, { name: owner }) => setText(cell, owner) },
    { label: 'Key', show: (cell, limit) => setText(cell, isOfEach(limit) ? 'each key' : (limit.key ?? 'all tasks')) },
    { label: 'Limit', show: showLimit },
    { label: 'Running', numeric: true, show: (cell, limit) => setText(cell, runningOf(limit)) },
    { label: 'In line', numeric: true, show: showLine },
    { label: 'Oldest wait', show: (cell, { waiting_since: since }) => showTime(cell, since, 'for') },
    { label: 'Next start', show: (cell, { next_at: nextAt }) => showTime(cell, nextAt, 'due') },
  ],
  key: ({ kind, name: owner, key, per_ms: perMs, limit }) => JSON.stringify([kind, owner, key, kind === 'rate' ? [limit, perMs] : null]),
  empty: [
    'No limits match. Definitions state them with ',
    ...['concurrency', 'rate', 'fair'].flatMap((word, index) => [...(index > 0 ? [', '] : []), element('code', {}, word)]),
    '; workers publish them when they start.',
  ],
});
if (principal.items !== null) showProblem(problem, new Error('Limits cover all tasks, but you may see certain items only.'));
else start();

function start(): void {
  byId('limits', HTMLElement).hidden = false;
  name.value = new URLSearchParams(location.search).get('name') ?? '';
  const form = byId('filters', HTMLFormElement);
  const apply = (): void => {
    const search = name.value.trim() === '' ? '' : `?${new URLSearchParams({ name: name.value.trim() }).toString()}`;
    history.replaceState(null, '', location.pathname + search);
    void refresh().catch((error: unknown) => showProblem(problem, error));
  };
  form.addEventListener('change', apply);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    apply();
  });
  useKeys({ '/': { does: 'Filter by name', run: () => name.focus() } });
  refreshEvery(refresh, EVERY_MS, (error) => showProblem(problem, error));
}

async function refresh(): Promise<void> {
  const query = new URLSearchParams({ limit: String(SHOWN), ...(name.value.trim() !== '' && { name: name.value.trim() }) });
  const { limits, next } = await read<LimitPage>(`limits?${query.toString()}`);
  showProblem(problem, null);
  table.show(limits);
  byId('more', HTMLElement).hidden = next === null;
  const lines = limits.filter(({ waiting }) => waiting > 0);
  setText(
    byId('shown', HTMLElement),
    lines.length === 0 ? 'no task in line' : `${count(lines.length, 'key')} with tasks in line${next === null ? '' : ' or more'}`,
  );
}

function isOfEach({ key }: Limit): boolean {
  return key === '*';
}

function showLimit(cell: HTMLElement, limit: Limit): void {
  setText(cell, limit.problem === null ? limitOf(limit) : `unreadable: ${limit.problem}`);
  setAttribute(cell, 'class', limit.problem === null ? null : 'problem');
}

function limitOf({ kind, limit, per_ms: perMs, burst, source }: Limit): string {
  const set = source === 'set' ? ' (set at run time)' : '';
  if (kind === 'fair') return 'fair share';
  if (kind === 'concurrency') return `${limit === null ? NONE : limit.toLocaleString('en')}${set}`;
  const rate = limit === null || perMs === null ? NONE : `${limit.toLocaleString('en')} per ${duration(perMs)}`;
  return `${rate}${burst === null ? '' : `, burst ${burst.toLocaleString('en')}`}`;
}

function runningOf(limit: Limit): string {
  return limit.kind === 'concurrency' && !isOfEach(limit) ? limit.running.toLocaleString('en') : NONE;
}

function showLine(cell: HTMLElement, limit: Limit): void {
  setText(cell, isOfEach(limit) ? NONE : limit.waiting.toLocaleString('en'));
  setAttribute(cell, 'data-level', limit.waiting > 0 ? 'fair' : null);
}

function showTime(cell: HTMLElement, iso: string | null, form: TimeForm): void {
  const known = cell.querySelector('time');
  if (known) setTime(known, iso);
  else cell.replaceChildren(timeElement(iso, form));
}
