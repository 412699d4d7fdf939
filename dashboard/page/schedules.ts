import { type Enqueued, type Schedule, mayOperate } from './parts/api-types.js';
import { ROOT, now, read, taskPath, write } from './parts/api.js';
import { byId, element, refreshEvery, setText, showProblem, startShell } from './parts/shell.js';
import { count, duration } from './parts/wording.js';

const EVERY_MS = 3_000;
const CELLS: readonly (readonly [string, string])[] = [
  ...([
    ['id', 'Schedule'],
    ['task', 'Task'],
    ['when', 'Timing'],
    ['next', 'Next run'],
    ['last', 'Last task'],
    ['overlap', 'Overlap'],
  ] as const),
];
const OVERLAPS: Readonly<Record<Schedule['overlap'], string>> = { skip: 'skip', queue: 'queue' };

/** The page `/schedules`. */
const operates = mayOperate(await startShell());
const rows = new Map<string, HTMLTableRowElement>();
const body = byId('rows', HTMLTableSectionElement);
byId('action-column', HTMLElement).hidden = !operates;
refreshEvery(refresh, EVERY_MS);

async function refresh(): Promise<void> {
  const { schedules } = await read<{ schedules: Schedule[] }>('schedules');
  const ids = new Set(schedules.map(({ id }) => id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  for (const schedule of schedules) show(schedule);
  byId('empty', HTMLElement).hidden = schedules.length > 0;
  setText(byId('shown', HTMLElement), count(schedules.length, 'schedule'));
}

function show(schedule: Schedule): void {
  const row = rows.get(schedule.id) ?? add(schedule.id);
  const cell = (name: string): HTMLElement => row.querySelector(`[data-cell="${name}"]`) as HTMLElement;
  const { id, name, item, next_at: nextAt, last_task: lastTask, overlap, built_in: builtIn } = schedule;
  setText(cell('id'), builtIn ? `${id} (built-in)` : id);
  setText(cell('task'), name === null ? 'unreadable' : item === null ? name : `${name} for ${item}`);
  setText(cell('when'), timingOf(schedule));
  setText(cell('next'), nextOf(nextAt));
  cell('next').title = nextAt ?? '';
  setText(cell('overlap'), OVERLAPS[overlap]);
  showLast(cell('last'), lastTask, schedule.running);
}

function timingOf({ every_ms: everyMs, cron, time_zone: timeZone, jitter_ms: jitterMs, problem }: Schedule): string {
  if (problem !== null) return problem;
  const times =
    cron === null ? `every ${everyMs === null ? '?' : duration(everyMs)}` : `${cron}${timeZone === null ? '' : ` (${timeZone})`}`;
  return jitterMs > 0 ? `${times}, jitter ${duration(jitterMs)}` : times;
}

function nextOf(iso: string | null): string {
  if (iso === null) return '–';
  const left = Date.parse(iso) - now();
  return left > 0 ? `in ${duration(left)}` : 'due';
}

function showLast(place: HTMLElement, task: string | null, running: boolean): void {
  const key = `${task} ${running}`;
  if (place.dataset['shown'] === key) return;
  place.dataset['shown'] = key;
  if (task === null) place.textContent = '–';
  else place.replaceChildren(element('a', { href: new URL(taskPath(task), ROOT).href, class: 'id' }, task), running ? ' (running)' : '');
}

function add(id: string): HTMLTableRowElement {
  const cells = CELLS.map(([name, label]) => element('td', { role: 'cell', 'data-label': label }, element('div', { 'data-cell': name })));
  const button = element(
    'button',
    { type: 'button', click: () => void run(id, button) },
    'Run now',
    element('span', { class: 'sr-only' }, ` ${id}`),
  );
  const action = operates ? [element('td', { role: 'cell', 'data-label': 'Action' }, element('div', {}, button))] : [];
  const row = element('tr', { role: 'row', 'data-id': id }, ...cells, ...action);
  rows.set(id, row);
  body.append(row);
  return row;
}

async function run(id: string, button: HTMLButtonElement): Promise<void> {
  const problem = byId('problem', HTMLElement);
  button.disabled = true;
  try {
    const { id: task } = await write<Enqueued>(`schedules/${encodeURIComponent(id)}/run`);
    showProblem(problem, null);
    byId('done', HTMLElement).replaceChildren(
      `Enqueued ${id} as task `,
      element('a', { href: new URL(taskPath(task), ROOT).href, class: 'id' }, task),
    );
    await refresh();
  } catch (error) {
    showProblem(problem, error);
  } finally {
    button.disabled = false;
    button.focus();
  }
}
