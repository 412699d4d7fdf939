import type { Worker } from './parts/api-types.js';
import { ROOT, now, read, taskPath } from './parts/api.js';
import { type Health, healthOf, listenerOf } from './parts/attention.js';
import { byId, element, refreshEvery, setAttribute, setText, startShell } from './parts/shell.js';
import { ago, count, duration, latency } from './parts/wording.js';

const EVERY_MS = 3_000;
const SHOWN_TASKS = 5;
const NONE = '–';

/** The page `/workers`. */
await startShell();
const rows = new Map<string, HTMLTableRowElement>();
const body = byId('rows', HTMLTableSectionElement);
refreshEvery(refresh, EVERY_MS);

async function refresh(): Promise<void> {
  const { workers } = await read<{ workers: Worker[] }>('workers');
  const ids = new Set(workers.map(({ id }) => id));
  for (const [id, row] of rows) if (!ids.has(id)) remove(id, row);
  for (const worker of workers) show(worker);
  byId('empty', HTMLElement).hidden = workers.length > 0;
  const alive = workers.filter((worker) => healthOf(worker, now()).level !== 'bad');
  const busy = alive.reduce((sum, { running }) => sum + running.length, 0);
  const total = alive.reduce((sum, { slots }) => sum + (slots ?? 0), 0);
  setText(byId('shown', HTMLElement), `${count(alive.length, 'worker')} alive, ${busy} of ${total} slots in use`);
}

function remove(id: string, row: HTMLTableRowElement): void {
  row.remove();
  rows.delete(id);
}

function show(worker: Worker): void {
  const row = rows.get(worker.id) ?? add(worker.id);
  const {
    host,
    pid,
    queues,
    slots,
    running,
    zombies,
    stops,
    stop_p50_ms: p50,
    stop_p99_ms: p99,
    started_at: startedAt,
    beat_at: beatAt,
  } = worker;
  const cell = (name: string): HTMLElement => row.querySelector(`[data-cell="${name}"]`) as HTMLElement;
  setText(cell('where'), host === null ? NONE : `${host} ${pid ?? ''}`);
  showHealth(cell('health'), healthOf(worker, now()));
  showHealth(cell('listener'), listenerOf(worker));
  setText(cell('slots'), slots === null ? NONE : `${running.length} of ${slots}`);
  setText(cell('beat'), beatAt === null ? NONE : ago(now() - Date.parse(beatAt)));
  setText(cell('zombies'), zombies === null ? NONE : zombies === 0 ? '0' : `⚠ ${zombies}`);
  setText(cell('stops'), stops ? `${stops} (p50 ${latency(p50 ?? 0)}, p99 ${latency(p99 ?? 0)})` : '0');
  setText(cell('queues'), queues.join(', ') || NONE);
  setText(cell('up'), startedAt === null ? NONE : duration(now() - Date.parse(startedAt)));
  showTasks(cell('tasks'), running);
}

function showHealth(place: HTMLElement, { level, text }: Health): void {
  setText(place, text);
  setAttribute(place, 'data-level', level);
}

function showTasks(place: HTMLElement, ids: readonly string[]): void {
  // Rewritten only on change, so that a focused link keeps the focus.
  const key = ids.join(' ');
  if (place.dataset['ids'] === key) return;
  place.dataset['ids'] = key;
  const links = ids
    .slice(0, SHOWN_TASKS)
    .map((id) => element('li', {}, element('a', { href: new URL(taskPath(id), ROOT).href, class: 'id' }, id)));
  const more = ids.length > SHOWN_TASKS ? [element('li', {}, `and ${ids.length - SHOWN_TASKS} more`)] : [];
  place.replaceChildren(...(ids.length === 0 ? [NONE] : [element('ul', { class: 'ids' }, ...links, ...more)]));
}

function add(id: string): HTMLTableRowElement {
  const cells: readonly (readonly [string, string])[] = [
    ...([
      ['health', 'State'],
      ['where', 'Host and PID'],
      ['listener', 'Stop listener'],
      ['slots', 'Slots in use'],
      ['beat', 'Heartbeat'],
    ] as const),
    ...([
      ['zombies', 'Zombies'],
      ['stops', 'Stops'],
      ['queues', 'Queues'],
      ['up', 'Uptime'],
      ['tasks', 'Running tasks'],
    ] as const),
  ];
  const row = element(
    'tr',
    { role: 'row', 'data-id': id },
    ...cells.map(([name, label]) => element('td', { role: 'cell', 'data-label': label }, element('div', { 'data-cell': name }))),
  );
  row.querySelector('[data-cell="where"]')?.setAttribute('title', id);
  rows.set(id, row);
  body.append(row);
  return row;
}
