import type { AuditPageJson, AuditRecordJson } from './parts/api-types.js';
import { ROOT, read, taskPath } from './parts/api.js';
import { byId, element, setAttribute, setText } from './parts/dom.js';
import { refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { showProblem } from './parts/ui/feedback.js';
import { KeyedTable } from './parts/ui/keyed-table.js';
import { exactMoment } from './parts/ui/time.js';
import { count } from './parts/wording.js';

const EVERY_MS = 5_000;
const LIMIT = 100;
/** The fields of the filter: their names are those of the query, of the page and of the API. */
const FIELDS = ['name', 'action', 'outcome', 'target', 'since'] as const;
/** The fields in which a text stands for everything that begins with it. */
const PREFIXES: ReadonlySet<string> = new Set(['name', 'action', 'target']);
/** Actions on a task, which is their target. */
const ON_TASK = /^task\.(?!enqueue$)/;
/** Actions that add a task, which is their result. */
const ADDS_TASK = /^(?:task\.enqueue|schedule\.run)$/;
/** The issuer of the tokens in API_TOKENS. */
const OWN_ISSUER = 'tokens';

/** The page `/audit`. */
await startShell();
const form = byId('filters', HTMLFormElement);
const problem = byId('problem', HTMLElement);
const actions = new Set<string>();
/** The start cursor of each page up to the current one. */
let cursors: (string | null)[] = [null];
let next: string | null = null;

const table = new KeyedTable<AuditRecordJson>(byId('records', HTMLTableElement), {
  columns: [
    { label: 'Time', show: (cell, { at }) => cell.childElementCount === 0 && cell.append(exactMoment(at)) },
    { label: 'Who', show: showCaller },
    { label: 'Action', show: (cell, { action }) => setText(cell, action) },
    { label: 'Target', show: showTarget },
    { label: 'Reason', show: (cell, { reason }) => setText(cell, reason ?? '–') },
    { label: 'Outcome', show: showOutcome },
    { label: 'Request', show: showRequest },
  ],
  key: ({ id }) => id,
  empty: 'No writes match. Reads are not recorded; about 10,000 allowed and 2,000 denied writes are kept.',
  mark: (row, { outcome }) => setAttribute(row, 'data-outcome', outcome),
});
readFields();
form.addEventListener('change', apply);
form.addEventListener('submit', (event) => {
  event.preventDefault();
  apply();
});
// The fields are empty only after this event.
form.addEventListener('reset', () => window.setTimeout(apply));
byId('newer', HTMLButtonElement).addEventListener('click', () => turn(cursors.slice(0, -1)));
byId('older', HTMLButtonElement).addEventListener('click', () => next !== null && turn([...cursors, next]));
useKeys({
  '/': { does: 'Filter by who', run: () => byId('filter-name', HTMLInputElement).focus() },
  j: { does: 'Next record with a link', run: () => table.step(1) },
  k: { does: 'Previous record with a link', run: () => table.step(-1) },
});
refreshEvery(refresh, EVERY_MS, (error) => showProblem(problem, error));

function readFields(): void {
  const query = new URLSearchParams(location.search);
  for (const name of FIELDS) fieldOf(name).value = query.get(name) ?? '';
}

function fieldOf(name: (typeof FIELDS)[number]): HTMLInputElement | HTMLSelectElement {
  return form.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement;
}

/** Returns the values of the filter that are not empty. */
function filter(): [string, string][] {
  return FIELDS.map((name): [string, string] => [name, fieldOf(name).value.trim()]).filter(([, value]) => value !== '');
}

function apply(): void {
  const query = new URLSearchParams(filter()).toString();
  history.replaceState(null, '', location.pathname + (query === '' ? '' : `?${query}`));
  turn([null]);
}

function turn(to: (string | null)[]): void {
  cursors = to.length === 0 ? [null] : to;
  refresh().catch((error: unknown) => showProblem(problem, error));
}

async function refresh(): Promise<void> {
  const from = cursors.at(-1) ?? null;
  const query = new URLSearchParams(
    filter().map(([name, value]) => [name, PREFIXES.has(name) && !value.endsWith('*') ? `${value}*` : value]),
  );
  query.set('limit', String(LIMIT));
  if (from !== null) query.set('after', from);
  const asked = query.toString();
  const page = await read<AuditPageJson>(`audit?${asked}`);
  if (from !== (cursors.at(-1) ?? null)) return;
  showProblem(problem, null);
  next = page.next;
  table.show(page.records);
  suggest(page.records);
  byId('newer', HTMLButtonElement).disabled = cursors.length === 1;
  byId('older', HTMLButtonElement).disabled = next === null;
  setText(byId('page-number', HTMLElement), `Page ${cursors.length}`);
  const denied = page.records.filter(({ outcome }) => outcome === 'denied').length;
  setText(byId('shown', HTMLElement), `${count(page.records.length, 'record')}${next === null ? '' : ' on this page'}, ${denied} denied`);
}

/** Offers the actions seen so far, and their groups, in the filter. */
function suggest(records: readonly AuditRecordJson[]): void {
  const seen = records.flatMap(({ action }) => (/^[\w-]+\./.test(action) ? [action, `${action.split('.', 1)[0]}.`] : [action]));
  const fresh = [...new Set(seen)].filter((action) => !actions.has(action));
  for (const action of fresh) actions.add(action);
  byId('actions', HTMLElement).append(...fresh.map((value) => element('option', { value })));
}

function showCaller(cell: HTMLElement, { name, role, issuer, via, address }: AuditRecordJson): void {
  if (cell.childElementCount > 0) return;
  const how = [role, issuer === OWN_ISSUER ? null : issuer, via, address].filter((part) => part !== null).join(' · ');
  cell.append(element('span', { class: 'name' }, name ?? 'not signed in'), element('span', { class: 'soft' }, how));
}

function showTarget(cell: HTMLElement, { action, target, item }: AuditRecordJson): void {
  if (cell.childNodes.length > 0) return;
  const isTask = target !== null && ON_TASK.test(action);
  cell.append(
    isTask ? taskLink(target) : (target ?? '–'),
    ...(item === null || item === target ? [] : [element('span', { class: 'soft' }, `item ${item}`)]),
  );
}

function showOutcome(cell: HTMLElement, { action, outcome, result }: AuditRecordJson): void {
  if (cell.childNodes.length > 0) return;
  setAttribute(cell, 'data-level', outcome === 'allowed' ? 'good' : 'bad');
  const isTask = outcome === 'allowed' && ADDS_TASK.test(action) && result !== '';
  cell.append(outcome === 'allowed' ? '✓ ' : '✕ ', isTask ? taskLink(result) : result || outcome);
}

function showRequest(cell: HTMLElement, { request_id: id }: AuditRecordJson): void {
  setText(cell, id ?? '–');
  setAttribute(cell, 'title', id);
}

function taskLink(id: string): HTMLElement {
  return element('a', { class: 'id', title: id, href: new URL(taskPath(id), ROOT).href }, id);
}
