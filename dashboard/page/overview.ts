import type { History, Overview } from './parts/api-types.js';
import { read } from './parts/api.js';
import { byId, element, setText } from './parts/dom.js';
import { Needs } from './parts/overview/needs.js';
import { Past } from './parts/overview/past.js';
import { busyQueues, failureTable, queueTable } from './parts/overview/tables.js';
import { showTiles } from './parts/overview/tiles.js';
import { refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { showProblem } from './parts/ui/feedback.js';
import { clockTime } from './parts/ui/time.js';
import { count } from './parts/wording.js';

const NOW_EVERY_MS = 4_000;
const PAST_EVERY_MS = 15_000;
const RANGES = { '1h': '1 h', '24h': '24 h', '7d': '7 d' } as const satisfies Record<History['range'], string>;
const RANGE_KEYS = { 1: '1h', 2: '24h', 3: '7d' } as const;
type Range = History['range'];

/** The page `/`: the present state of the fleet, and its history. The range and task name of the history are in the URL. */
await startShell();
const problem = byId('problem', HTMLElement);
const names = byId('name', HTMLSelectElement);
const failures = failureTable(byId('failures', HTMLTableElement));
const queues = queueTable(byId('queues', HTMLTableElement));
const needs = new Needs(byId('needs', HTMLElement));
const past = new Past((name) => choose({ name: name === chosen.name ? null : name }));
let chosen = readUrl();
addRanges();
names.addEventListener('change', () => choose({ name: names.value === '' ? null : names.value }));
useKeys({
  ...{ j: { does: 'Next failure', run: () => failures.step(1) }, k: { does: 'Previous failure', run: () => failures.step(-1) } },
  ...Object.fromEntries(
    Object.entries(RANGE_KEYS).map(([key, range]) => [key, { does: `History of ${RANGES[range]}`, run: () => choose({ range }) }]),
  ),
});
refreshEvery(showNow, NOW_EVERY_MS, (error) => showProblem(problem, error));
refreshEvery(showPast, PAST_EVERY_MS, (error) => showProblem(problem, error));

async function showNow(): Promise<void> {
  const overview = await read<Overview>('overview');
  showProblem(problem, null);
  needs.show(overview.attention);
  showTiles(byId('tiles', HTMLElement), overview);
  failures.show(overview.failures);
  const busy = busyQueues(overview.queues);
  queues.show(busy);
  const idle = overview.queues.length - busy.length;
  setText(byId('idle', HTMLElement), idle === 0 ? '' : `${count(idle, 'queue')} without tasks not shown.`);
  setText(byId('shown', HTMLElement), `as of ${clockTime(Date.parse(overview.at))}`);
}

async function showPast(): Promise<void> {
  const asked = chosen;
  const query = new URLSearchParams({ range: asked.range, ...(asked.name !== null && { name: asked.name }) });
  const history = await read<History>(`history?${query}`);
  // The user has chosen something else meanwhile.
  if (asked !== chosen) return;
  showNames(history.names.map(({ name }) => name));
  await past.show(history);
}

/** Shows another part of the history, and puts it into the URL. */
function choose(change: { readonly range?: Range; readonly name?: string | null }): void {
  chosen = { ...chosen, ...change };
  const url = new URL(location.href);
  const set = (key: string, value: string | null): void =>
    value === null ? url.searchParams.delete(key) : url.searchParams.set(key, value);
  set('range', chosen.range === '1h' ? null : chosen.range);
  set('task', chosen.name);
  window.history.replaceState(null, '', url);
  showChoice();
  showPast().catch((error: unknown) => showProblem(problem, error));
}

function readUrl(): { readonly range: Range; readonly name: string | null } {
  const query = new URLSearchParams(location.search);
  const range = query.get('range') ?? '';
  return { range: Object.hasOwn(RANGES, range) ? (range as Range) : '1h', name: query.get('task') };
}

function addRanges(): void {
  for (const [range, label] of Object.entries(RANGES)) {
    const id = `range-${range}`;
    const input = element('input', { type: 'radio', name: 'range', id, value: range, change: () => choose({ range: range as Range }) });
    byId('ranges', HTMLElement).append(input, element('label', { for: id }, label));
  }
  showNames([]);
  showChoice();
}

/** Fills the list of task names, with the chosen one even if no task of it ended. */
function showNames(found: readonly string[]): void {
  const wanted = [...new Set([...found, ...(chosen.name === null ? [] : [chosen.name])])].toSorted();
  const present = [...names.options].slice(1).map(({ value }) => value);
  if (wanted.join('\n') !== present.join('\n'))
    names.replaceChildren(names.options[0] as HTMLOptionElement, ...wanted.map((name) => element('option', { value: name }, name)));
  showChoice();
}

function showChoice(): void {
  names.value = chosen.name ?? '';
  for (const input of document.querySelectorAll<HTMLInputElement>('#ranges input')) input.checked = input.value === chosen.range;
}
